package query

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Statistic is a statistic of readings.
type Statistic struct {
	Name   string // as in the question
	Column string // of the answer
	kind   statKind
	arg    float64 // the percentile, or the threshold
}

type statKind uint8

const (
	statCount statKind = iota
	statMean
	statMin
	statMax
	statSum
	statStdDev
	statFirst
	statLast
	statPercentile
	statAbove
	statBelow
)

// parseStatistic reads count, mean, min, max, sum, stddev, median, first, last,
// p0 to p100, above:VALUE and below:VALUE.
func parseStatistic(name string) (Statistic, error) {
	words := map[string]statKind{"count": statCount, "mean": statMean, "min": statMin, "max": statMax, "sum": statSum, "stddev": statStdDev, "first": statFirst, "last": statLast}
	s := Statistic{Name: name, Column: name}
	if kind, ok := words[name]; ok {
		s.kind = kind
		return s, nil
	}
	column := strings.NewReplacer(":", "_", ".", "_", "-", "minus_", "+", "").Replace(name)
	switch {
	case name == "median":
		s.kind, s.arg = statPercentile, 50
		return s, nil
	case strings.HasPrefix(name, "p"):
		f, err := strconv.ParseFloat(name[1:], 64)
		if err == nil && f >= 0 && f <= 100 && len(name) < 10 {
			s.kind, s.arg, s.Column = statPercentile, f, column
			return s, nil
		}
	case strings.HasPrefix(name, "above:"), strings.HasPrefix(name, "below:"):
		f, err := strconv.ParseFloat(name[6:], 64)
		if err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) && len(name) < 30 {
			s.kind, s.arg, s.Column = statAbove, f, column+"_s"
			if name[0] == 'b' {
				s.kind = statBelow
			}
			return s, nil
		}
	}
	return s, fmt.Errorf("found %q, expected count, mean, min, max, sum, stddev, median, first, last, a percentile such as p95, or a duration such as above:70 or below:3", name)
}

func decodeStatistics(n node) ([]Statistic, error) {
	names, err := n.texts(32)
	if err != nil {
		return nil, err
	}
	if names == nil {
		names = []string{"count", "mean", "min", "max"}
	}
	var out []Statistic
	for i, name := range names {
		at := node{name, n.ptr + "/" + itoa(i)}
		s, err := parseStatistic(name)
		if err != nil {
			return nil, at.fault("%v", err)
		}
		if slices.ContainsFunc(out, func(o Statistic) bool { return strings.EqualFold(o.Column, s.Column) }) {
			return nil, at.fault("found %q twice", name)
		}
		out = append(out, s)
	}
	return out, nil
}

func itoa(n int) string { return strconv.Itoa(n) }

// plan says what of readings has to be kept for some statistics.
type plan struct {
	stats    []Statistic
	weighted bool
	held     bool // values are held until the next reading
	values   bool // percentiles need them all
	quality  []string
	maxGap   time.Duration
	now      time.Time
	after    []threshold
}

type threshold struct {
	value float64
	above bool
}

func newPlan(stats []Statistic, weighted bool, maxGap time.Duration, quality []string, now time.Time) *plan {
	p := &plan{stats: stats, weighted: weighted, held: weighted, maxGap: maxGap, now: now, quality: quality}
	for _, s := range stats {
		switch s.kind {
		case statPercentile:
			p.values = true
		case statAbove, statBelow:
			p.held = true
			p.after = append(p.after, threshold{s.arg, s.kind == statAbove})
		}
	}
	return p
}

// weightedValue is a value and the seconds for which it held.
type weightedValue struct{ value, seconds float64 }

// part is what is known of the readings of one or several Datastreams in one
// window.
type part struct {
	n                   int64
	mean, m2            float64 // Welford's: without the cancellation of sums of squares
	sum, carry          float64 // Neumaier's sum
	low, high           float64
	first, last         int64 // nanoseconds since 1970-01-01 UTC
	firstValue, lastVal float64
	seconds             float64 // held
	heldMean, heldM2    float64
	durations           []float64 // by threshold
	values              []weightedValue
}

func (s *part) add(atNs int64, v float64) {
	s.n++
	d := v - s.mean
	s.mean += d / float64(s.n)
	s.m2 += d * (v - s.mean)
	s.total(v)
	if s.n == 1 {
		s.low, s.high, s.first, s.firstValue = v, v, atNs, v
	}
	s.low, s.high = min(s.low, v), max(s.high, v)
	s.last, s.lastVal = atNs, v
}

func (s *part) total(v float64) {
	t := s.sum + v
	if math.Abs(s.sum) >= math.Abs(v) {
		s.carry += (s.sum - t) + v
	} else {
		s.carry += (v - t) + s.sum
	}
	s.sum = t
}

func (s *part) hold(p *plan, v, seconds float64) {
	if seconds <= 0 {
		return
	}
	s.seconds += seconds
	d := v - s.heldMean
	s.heldMean += d * seconds / s.seconds
	s.heldM2 += seconds * d * (v - s.heldMean)
	if len(p.after) > 0 && s.durations == nil {
		s.durations = make([]float64, len(p.after))
	}
	for i, t := range p.after {
		if t.above && v > t.value || !t.above && v < t.value {
			s.durations[i] += seconds
		}
	}
	if p.values && p.weighted {
		s.values = append(s.values, weightedValue{v, seconds})
	}
}

// merge adds what another Datastream gave. Of readings of the same time the one
// merged first is the first, and the one merged last the last.
func (s *part) merge(o *part) {
	if o.n > 0 {
		if s.n == 0 {
			s.low, s.high, s.first, s.firstValue = o.low, o.high, o.first, o.firstValue
		}
		n := float64(s.n + o.n)
		d := o.mean - s.mean
		s.m2 += o.m2 + d*d*float64(s.n)*float64(o.n)/n
		s.mean += d * float64(o.n) / n
		s.n += o.n
		s.total(o.sum)
		s.carry += o.carry
		s.low, s.high = min(s.low, o.low), max(s.high, o.high)
		if o.first < s.first {
			s.first, s.firstValue = o.first, o.firstValue
		}
		if o.last >= s.last {
			s.last, s.lastVal = o.last, o.lastVal
		}
	}
	if o.seconds > 0 {
		w := s.seconds + o.seconds
		d := o.heldMean - s.heldMean
		s.heldM2 += o.heldM2 + d*d*s.seconds*o.seconds/w
		s.heldMean += d * o.seconds / w
		s.seconds = w
		if s.durations == nil {
			s.durations = make([]float64, len(o.durations))
		}
		for i, d := range o.durations {
			s.durations[i] += d
		}
	}
	s.values = append(s.values, o.values...)
}

// value is a statistic; NaN where there is none.
func (s *part) value(p *plan, i int) float64 {
	st := p.stats[i]
	switch st.kind {
	case statCount:
		return float64(s.n)
	case statAbove, statBelow:
		if s.seconds == 0 {
			return math.NaN()
		}
		k := 0
		for _, before := range p.stats[:i] {
			if before.kind == statAbove || before.kind == statBelow {
				k++
			}
		}
		return s.durations[k]
	}
	if p.weighted {
		switch st.kind {
		case statMean, statStdDev, statPercentile:
			if s.seconds == 0 {
				return math.NaN()
			}
		}
		switch st.kind {
		case statMean:
			return s.heldMean
		case statStdDev:
			return math.Sqrt(s.heldM2 / s.seconds)
		case statPercentile:
			return heldPercentile(s.values, s.seconds, st.arg)
		}
	}
	if s.n == 0 {
		return math.NaN()
	}
	switch st.kind {
	case statMean:
		return (s.sum + s.carry) / float64(s.n)
	case statMin:
		return s.low
	case statMax:
		return s.high
	case statSum:
		return s.sum + s.carry
	case statStdDev:
		if s.n < 2 {
			return math.NaN()
		}
		return math.Sqrt(s.m2 / float64(s.n-1))
	case statFirst:
		return s.firstValue
	case statLast:
		return s.lastVal
	case statPercentile:
		return percentile(s.values, st.arg)
	}
	return math.NaN()
}

func byValue(a, b weightedValue) int {
	switch {
	case a.value < b.value:
		return -1
	case a.value > b.value:
		return 1
	}
	return 0
}

// sortValues sorts, unless another percentile has sorted them already.
func sortValues(v []weightedValue) {
	if !slices.IsSortedFunc(v, byValue) {
		slices.SortFunc(v, byValue)
	}
}

// percentile interpolates between the closest ranks (Hyndman and Fan's type 7,
// the default of NumPy, R and Excel's PERCENTILE.INC).
func percentile(v []weightedValue, p float64) float64 {
	sortValues(v)
	at := p / 100 * float64(len(v)-1)
	i := int(at)
	if i+1 >= len(v) {
		return v[len(v)-1].value
	}
	return v[i].value + (at-float64(i))*(v[i+1].value-v[i].value)
}

// heldPercentile is the least value such that no more than p percent of the time
// was spent below it.
func heldPercentile(v []weightedValue, seconds, p float64) float64 {
	sortValues(v)
	at := p / 100 * seconds
	for _, x := range v {
		if at -= x.seconds; at <= 0 {
			return x.value
		}
	}
	return v[len(v)-1].value
}

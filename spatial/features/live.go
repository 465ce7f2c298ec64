package features

import (
	"context"
	"time"

	"cityhub/spatial/city"
)

// liveValue is what is observed of one property on one object.
type liveValue struct {
	ds      *city.Datastream // nil: nothing
	reading city.Reading
}

// liveReader reads the values of one request. It is for one goroutine.
type liveReader struct {
	ctx      context.Context
	observed city.Observed
	props    []city.Property
	index    map[string]int // of props, by name
	at       time.Time      // zero: the latest
	now      time.Time      // to which ages refer
	streams  []*city.Datastream
}

func (c *call) liveReader(at time.Time) (*liveReader, error) {
	l := &liveReader{ctx: c.ctx, observed: c.view.Observed, at: at, now: c.now}
	if !at.IsZero() {
		l.now = at
	}
	if l.observed == nil {
		return l, nil
	}
	var err error
	if l.props, err = l.observed.Properties(c.ctx); err != nil {
		return nil, err
	}
	l.index = make(map[string]int, len(l.props))
	for i, p := range l.props {
		l.index[p.Name] = i
	}
	return l, nil
}

// latest is the reading of a Datastream at the time of the request.
func (l *liveReader) latest(ds *city.Datastream) (city.Reading, bool, error) {
	if l.at.IsZero() {
		r, ok := l.observed.Latest(ds)
		return r, ok, nil
	}
	return l.observed.LatestAt(l.ctx, ds, l.at)
}

// read gives the values on the object at a position, one for each property, in
// dst; those of need only, where it is not nil.
func (l *liveReader) read(position int64, need []bool, dst []liveValue) ([]liveValue, error) {
	dst = append(dst[:0], make([]liveValue, len(l.props))...)
	if l.observed == nil {
		return dst, nil
	}
	l.streams = l.observed.On(l.ctx, position, l.streams[:0])
	for _, ds := range l.streams {
		i, ok := l.index[ds.Property]
		if !ok || need != nil && !need[i] {
			continue
		}
		r, ok, err := l.latest(ds)
		if err != nil {
			return dst, err
		}
		if ok && (dst[i].ds == nil || better(r, dst[i].reading)) {
			dst[i] = liveValue{ds, r}
		}
	}
	return dst, nil
}

// better reports whether a is shown rather than b: the newest good value, else
// the newest not evaluated, else the newest.
func better(a, b city.Reading) bool {
	if x, y := trust(a.Quality), trust(b.Quality); x != y {
		return x > y
	}
	return a.Time.After(b.Time)
}

func trust(quality string) int {
	switch quality {
	case "good":
		return 2
	case "not-evaluated":
		return 1
	}
	return 0
}

// ageSeconds is how old a reading is; never negative, as clocks differ.
func (l *liveReader) ageSeconds(r city.Reading) float64 {
	return max(0, l.now.Sub(r.Time).Round(time.Millisecond).Seconds())
}

package query

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"cityhub/spatial/city"
)

// HistoryOptions say which history is asked for. From, To, Every and Zone are
// written as the times of a question are.
type HistoryOptions struct {
	From, To   string   // empty: 24 hours before To, and now
	Every      string   // empty: an hour
	Zone       string   // empty: DefaultZone
	Quality    []string // the marks that count; nil: good and not-evaluated
	Statistics []string
}

// History is what Datastreams gave in windows of time.
type History struct {
	Windows []Window // in Zone
	Zone    *time.Location
	Quality []string
	Columns []string // of Values, named as in the answer to a question
	// Values are those of each Datastream, window and column; NaN: none.
	Values [][][]float64
}

// History reads what Datastreams gave in windows of time. They must be the
// view's, and their results numbers. An error is a *city.Error whose Field is
// one of HistoryOptions, in lower case, or comes from the view.
func (e *Engine) History(ctx context.Context, view *city.View, streams []*city.Datastream, o HistoryOptions) (*History, error) {
	out, err := e.history(ctx, view, streams, o)
	var ce *city.Error
	if errors.As(err, &ce) {
		if ce.Field = strings.TrimPrefix(ce.Field, "/"); ce.Field == "" {
			ce.Field = "from"
		}
	}
	return out, err
}

func (e *Engine) history(ctx context.Context, view *city.View, streams []*city.Datastream, o HistoryOptions) (*History, error) {
	now := time.Now
	if e.Now != nil {
		now = e.Now
	}
	r := &run{Engine: e, view: view, limits: e.Limits.defaults(), now: now().UTC(), progress: func(Progress) {}}
	members := map[string]any{}
	for name, v := range map[string]string{"from": o.From, "to": o.To, "every": o.Every, "zone": o.Zone} {
		if v != "" {
			members[name] = v
		}
	}
	if o.From == "" {
		members["last"] = "PT24H"
	}
	if o.Every == "" {
		members["every"] = "PT1H"
	}
	times, err := decodeTimes(node{v: members})
	if err != nil {
		return nil, err
	}
	h := &History{Zone: times.Zone, Quality: o.Quality}
	if h.Quality == nil {
		h.Quality = qualities()[:2]
	}
	var stats []Statistic
	for _, name := range o.Statistics {
		s, err := parseStatistic(name)
		if err != nil {
			return nil, &city.Error{Code: city.Invalid, Field: "statistics", Message: err.Error()}
		}
		stats, h.Columns = append(stats, s), append(h.Columns, s.Column)
	}
	if h.Windows, err = times.windows(r.now, min(maxWindows, r.limits.Rows), false); err != nil {
		return nil, err
	}
	if n := len(h.Windows) * len(streams); n > r.limits.Rows {
		return nil, tooLarge(node{ptr: "/every"}, "ask for longer windows, a shorter time or one property", "%d windows of %d Datastreams are %d, more than %d", len(h.Windows), len(streams), n, r.limits.Rows)
	}
	if len(streams) == 0 || len(h.Windows) == 0 {
		return h, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.limits.Time, errTime)
	defer cancel()
	p := newPlan(stats, false, time.Hour, h.Quality, r.now)
	h.Values = make([][][]float64, len(streams))
	err = r.observe(ctx, streams, func(int) bool { return true }, h.Windows, p, func(i int, parts []part) error {
		h.Values[i] = make([][]float64, len(parts))
		for j := range parts {
			row := make([]float64, len(stats))
			for k := range stats {
				row[k] = parts[j].value(p, k)
				if math.IsInf(row[k], 0) { // a sum that no float64 holds
					row[k] = math.NaN()
				}
			}
			h.Values[i][j] = row
		}
		return nil
	})
	if errors.Is(err, context.DeadlineExceeded) && context.Cause(ctx) == errTime {
		err = &city.Error{Code: city.TooLarge, Field: "from", Message: fmt.Sprintf("the answer was not ready after %s", r.limits.Time), Hint: "ask for a shorter time or one property", Err: err}
	}
	return h, err
}

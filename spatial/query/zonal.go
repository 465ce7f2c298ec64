package query

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"cityhub/spatial/city"
	"cityhub/spatial/export"
)

// maxWindows bounds the windows of time of a question.
const maxWindows = 10_000

// observe reads the Datastreams and gives what fn needs of each, in their order,
// one at a time: the parts of the windows, which fn may not keep. Windows do not
// overlap and are in order. Datastreams are read in parallel, and as many are
// held as are being read.
func (r *run) observe(ctx context.Context, all []*city.Datastream, wanted func(i int) bool, windows []Window, p *plan, fn func(i int, parts []part) error) error {
	workers := r.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	batch := max(workers, min(8*workers, 200_000/len(windows))) // parts are some 200 bytes each
	var todo []int
	for i := range all {
		if wanted(i) {
			todo = append(todo, i)
		}
	}
	parts := make([][]part, batch)
	for i := range parts {
		parts[i] = make([]part, len(windows))
	}
	r.progress(Progress{Phase: "observations", Total: len(todo)})
	for at := 0; at < len(todo); at += batch {
		now := todo[at:min(at+batch, len(todo))]
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(workers)
		var kept budget
		kept.left = r.limits.Values
		for k, i := range now {
			g.Go(func() error { return r.read(gctx, all[i], windows, p, parts[k], &kept) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for k, i := range now {
			if err := fn(i, parts[k]); err != nil {
				return err
			}
		}
		r.progress(Progress{Phase: "observations", Done: at + len(now), Total: len(todo)})
	}
	return ctx.Err()
}

// budget counts the values kept for percentiles.
type budget struct {
	sync.Mutex
	left int
}

func (b *budget) take(n int) bool {
	b.Lock()
	defer b.Unlock()
	b.left -= n
	return b.left >= 0
}

// read makes the parts of one Datastream.
func (r *run) read(ctx context.Context, ds *city.Datastream, windows []Window, p *plan, parts []part, kept *budget) error {
	for i := range parts {
		parts[i] = part{values: parts[i].values[:0]}
	}
	from, to := windows[0].From, windows[len(windows)-1].To
	begin := from
	if p.held {
		begin = from.Add(-p.maxGap) // what was read before the window may hold in it
	}
	at := 0 // the window of the last reading
	starts, ends := windows[0].From.UnixNano(), windows[0].To.UnixNano()
	var heldFrom int64 // nanoseconds, as all times here
	var held float64
	holding := false
	spread := func(until int64) {
		if !holding {
			return
		}
		holding = false
		until = min(until, heldFrom+int64(p.maxGap), p.now.UnixNano())
		for i := at; i < len(windows); i++ {
			a := windows[i].From.UnixNano()
			if a >= until {
				return
			}
			parts[i].hold(p, held, float64(min(until, windows[i].To.UnixNano())-max(a, heldFrom))/1e9)
		}
	}
	n, failed := 0, false
	err := r.view.Observed.Range(ctx, ds, begin, to, func(reading city.Reading) bool {
		if n++; n&1023 == 0 && ctx.Err() != nil {
			return false
		}
		t, v := reading.Time.UnixNano(), reading.Value
		if holding {
			spread(t)
		}
		if !slices.Contains(p.quality, reading.Quality) || v-v != 0 { // NaN and infinities
			return true
		}
		for t >= ends && at < len(windows) {
			if at++; at < len(windows) {
				starts, ends = windows[at].From.UnixNano(), windows[at].To.UnixNano()
			}
		}
		if p.held {
			heldFrom, held, holding = t, v, true
		}
		if at == len(windows) || t < starts {
			return true
		}
		s := &parts[at]
		s.add(t, v)
		if p.values && !p.weighted {
			s.values = append(s.values, weightedValue{v, 1})
			if n := len(s.values); n&(n-1) == 0 && !kept.take(n-n/2) { // counted as they double
				failed = true
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	if failed {
		return r.tooManyValues()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.held {
		spread(to.UnixNano())
	}
	return nil
}

func (r *run) tooManyValues() error {
	return &city.Error{Code: city.TooLarge, Field: "/statistics", Message: fmt.Sprintf("percentiles need more than %d readings at once", r.limits.Values), Hint: "ask for a shorter time, fewer Datastreams or no percentiles"}
}

// zoned are the statistics of zones by window.
type zoned struct {
	zones   []zone
	windows []Window
	plan    *plan
	parts   []part // of zone i and window j at i*len(windows)+j
}

// statistics computes what zonal questions and changes of observations have in
// common, for each list of windows; the windows of a list do not overlap.
func (r *run) statistics(ctx context.Context, lists ...[]Window) ([]*zoned, []*city.Datastream, error) {
	all, points, err := r.datastreams(ctx, r.doc.Observations)
	if err != nil {
		return nil, nil, err
	}
	r.progress(Progress{Phase: "zones"})
	zones, err := r.zones(ctx, r.doc.Zones, points)
	if err != nil {
		return nil, nil, err
	}
	in := make([][]int32, len(all)) // the zones of each Datastream
	for i, z := range zones {
		for _, m := range z.members {
			in[m] = append(in[m], int32(i))
		}
	}
	var out []*zoned
	for _, windows := range lists {
		if n := len(zones) * len(windows); n > r.limits.Rows {
			return nil, nil, tooLarge(r.doc.Zones.at, "take fewer zones, or longer windows", "%d zones and %d windows of time are %d rows, more than %d", len(zones), len(windows), n, r.limits.Rows)
		}
		z := &zoned{zones: zones, windows: windows, plan: newPlan(r.doc.Statistics, r.doc.TimeWeighted, r.doc.MaxGap, r.doc.Observations.Quality, r.now), parts: make([]part, len(zones)*len(windows))}
		values := 0
		err := r.observe(ctx, all, func(i int) bool { return len(in[i]) > 0 }, windows, z.plan, func(i int, parts []part) error {
			for _, zone := range in[i] {
				for j := range parts {
					if p := &parts[j]; p.n > 0 || p.seconds > 0 {
						z.parts[int(zone)*len(windows)+j].merge(p)
						values += len(p.values)
					}
				}
			}
			if values > r.limits.Values {
				return r.tooManyValues()
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
		out = append(out, z)
	}
	r.meta["timeZone"] = r.doc.Times.Zone.String()
	if out[0].plan.held {
		r.meta["maxGapSeconds"] = r.doc.MaxGap.Seconds()
	}
	r.meta["timeWeighted"] = r.doc.TimeWeighted
	return out, all, nil
}

func (r *run) unitOf(all []*city.Datastream) export.Value {
	if len(all) == 0 {
		return export.Value{}
	}
	return export.TextOf(all[0].UnitSymbol)
}

func statColumns(stats []Statistic, prefixes ...string) []export.Column {
	var out []export.Column
	for _, s := range stats {
		for _, p := range prefixes {
			typ := export.Number
			if s.kind == statCount && !strings.HasPrefix(p, "ratio") {
				typ = export.Integer
			}
			out = append(out, export.Column{Name: p + s.Column, Type: typ})
		}
	}
	return out
}

func statValue(s Statistic, v float64) export.Value {
	if s.kind == statCount {
		return export.IntegerOf(int64(v))
	}
	return export.NumberOf(v)
}

func (r *run) zonal(ctx context.Context) (*Answer, error) {
	windows, err := r.doc.Times.windows(r.now, min(maxWindows, r.limits.Rows), false)
	if err != nil {
		return nil, err
	}
	all, streams, err := r.statistics(ctx, windows)
	if err != nil {
		return nil, err
	}
	z := all[0]
	a := &Answer{Columns: slices.Concat([]export.Column{
		{Name: "zone", Type: export.Text}, {Name: "name", Type: export.Text}, {Name: "area_m2", Type: export.Number},
		{Name: "from", Type: export.Text}, {Name: "to", Type: export.Text}, {Name: "property", Type: export.Text}, {Name: "unit", Type: export.Text},
		{Name: "datastreams", Type: export.Integer},
	}, statColumns(z.plan.stats, ""))}
	for i, zn := range z.zones {
		for j, w := range windows {
			p := &z.parts[i*len(windows)+j]
			values := []export.Value{
				export.TextOf(zn.id), export.TextOf(zn.name), export.NumberOf(zn.areaM2), export.TextOf(clock(w.From)), export.TextOf(clock(w.To)),
				export.TextOf(r.doc.Observations.Property), r.unitOf(streams), export.IntegerOf(int64(len(zn.members))),
			}
			for k, s := range z.plan.stats {
				values = append(values, statValue(s, p.value(z.plan, k)))
			}
			a.Rows = append(a.Rows, export.Row{Geometry: zn.geometry, Values: values})
		}
		if i&255 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return a, nil
}

// observedChange is a statistic of one window against another, by zone.
func (r *run) observedChange(ctx context.Context) (*Answer, error) {
	before, err := r.doc.Times.windows(r.now, 1, false)
	if err != nil {
		return nil, err
	}
	after, err := r.doc.Until.windows(r.now, 1, false)
	if err != nil {
		return nil, err
	}
	both, streams, err := r.statistics(ctx, before, after)
	if err != nil {
		return nil, err
	}
	r.meta["before"] = []string{clock(before[0].From), clock(before[0].To)}
	r.meta["after"] = []string{clock(after[0].From), clock(after[0].To)}
	a := &Answer{Columns: slices.Concat([]export.Column{
		{Name: "zone", Type: export.Text}, {Name: "name", Type: export.Text}, {Name: "area_m2", Type: export.Number},
		{Name: "property", Type: export.Text}, {Name: "unit", Type: export.Text}, {Name: "datastreams", Type: export.Integer},
	}, statColumns(r.doc.Statistics, "before_", "after_", "diff_", "ratio_"))}
	for i, zn := range both[0].zones {
		values := []export.Value{export.TextOf(zn.id), export.TextOf(zn.name), export.NumberOf(zn.areaM2),
			export.TextOf(r.doc.Observations.Property), r.unitOf(streams), export.IntegerOf(int64(len(zn.members)))}
		for k, s := range r.doc.Statistics {
			x, y := both[0].parts[i].value(both[0].plan, k), both[1].parts[i].value(both[1].plan, k)
			values = append(values, statValue(s, x), statValue(s, y), statValue(s, y-x), export.NumberOf(y/x)) // by zero: null
		}
		a.Rows = append(a.Rows, export.Row{Geometry: zn.geometry, Values: values})
	}
	return a, nil
}

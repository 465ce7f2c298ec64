package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/planar"

	"cityhub/spatial/city"
	"cityhub/spatial/export"
)

// Limits bound a question and its answer. A field that is zero or less has the
// default.
type Limits struct {
	Time        time.Duration // of computing; 60 s
	Body        int64         // bytes of a document; 8 MiB
	Rows        int           // of an answer, and found by a step; 100,000
	Zones       int           // 20,000
	Datastreams int           // 100,000
	Values      int           // kept at once for percentiles; 5,000,000
	Vertices    int           // that a document brings; 200,000
	Places      int           // from which the nearest are looked for; 10,000
	Waiting     int           // questions computed at once; 2 for each core, at most 64
}

func (l Limits) defaults() Limits {
	for _, d := range []struct {
		v      *int
		absent int
	}{{&l.Rows, 100_000}, {&l.Zones, 20_000}, {&l.Datastreams, 100_000}, {&l.Values, 5_000_000}, {&l.Vertices, 200_000}, {&l.Places, 10_000}, {&l.Waiting, min(64, 2*runtime.GOMAXPROCS(0))}} {
		if *d.v <= 0 {
			*d.v = d.absent
		}
	}
	if l.Time <= 0 {
		l.Time = time.Minute
	}
	if l.Body <= 0 {
		l.Body = 8 << 20
	}
	return l
}

// Reached is an object from which water or traffic comes to another.
type Reached struct {
	Position int64   // store.Version.Position
	Of       int64   // of the object to which it comes
	Metres   float64 // along the network
}

// Upstream finds the objects of a network that lie upstream of those at the
// given positions, at most metres away along it, each once, ascending by
// Position.
type Upstream func(ctx context.Context, view *city.View, positions []int64, metres float64) ([]Reached, error)

// Engine answers questions.
type Engine struct {
	Limits   Limits
	Upstream Upstream         // nil: there is no network, and the step upstream is an error
	Now      func() time.Time // nil: time.Now
	Workers  int              // that read Datastreams for one question; 0: one for each core
}

// Progress says how far a question is.
type Progress struct {
	Phase string `json:"phase"` // what is done, e.g. "observations"
	Done  int    `json:"done"`
	Total int    `json:"total"` // zero: not known
}

// Answer is a table of features.
type Answer struct {
	Columns []export.Column
	Rows    []export.Row
	Meta    []byte // JSON: the question, its time zone, units and what else has to be known
}

// run is the computing of one answer.
type run struct {
	*Engine
	view     *city.View
	doc      *Document
	limits   Limits
	now      time.Time
	progress func(Progress)
	meta     map[string]any
}

// Answer computes an answer with what view shows. progress, when set, is called
// from time to time, by one goroutine at a time. An error is a *city.Error, or
// comes from the view; TooLarge says which limit was met and how to narrow the
// question.
func (e *Engine) Answer(ctx context.Context, view *city.View, d *Document, progress func(Progress)) (*Answer, error) {
	now := time.Now
	if e.Now != nil {
		now = e.Now
	}
	if progress == nil {
		progress = func(Progress) {}
	}
	r := &run{Engine: e, view: view, doc: d, limits: e.Limits.defaults(), now: now().UTC(), progress: progress, meta: map[string]any{}}
	ctx, cancel := context.WithTimeoutCause(ctx, r.limits.Time, errTime)
	defer cancel()
	var a *Answer
	var err error
	switch d.Kind {
	case Zonal:
		a, err = r.zonal(ctx)
	case Nearest, Within:
		a, err = r.near(ctx)
	case Pipeline:
		a, err = r.pipeline(ctx)
	case Change:
		if d.Select != nil {
			a, err = r.modelChange(ctx)
		} else {
			a, err = r.observedChange(ctx)
		}
	default:
		err = &city.Error{Code: city.Invalid, Field: "/kind", Message: fmt.Sprintf("found %q", d.Kind)}
	}
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && context.Cause(ctx) == errTime {
			return nil, &city.Error{Code: city.TooLarge, Field: "body", Message: fmt.Sprintf("the answer was not ready after %s", r.limits.Time), Hint: "narrow the area, the time or the selection, or ask for fewer zones", Err: err}
		}
		return nil, err
	}
	r.meta["kind"] = d.Kind
	r.meta["question"] = json.RawMessage(d.source)
	r.meta["computed"] = r.now.Format(time.RFC3339Nano)
	r.meta["crs"] = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
	if a.Meta, err = json.Marshal(r.meta); err != nil {
		return nil, err
	}
	return a, nil
}

var errTime = errors.New("out of time")

// tooLarge says which limit was met.
func tooLarge(at node, hint, format string, args ...any) error {
	e := at.fault(format, args...)
	e.Code, e.Hint = city.TooLarge, hint
	return e
}

// clock formats a time of the answer, in the zone of the question.
func clock(t time.Time) string { return t.Format(time.RFC3339) }

func contains(p orb.Polygon, at orb.Point) bool { return planar.PolygonContains(p, at) }

func countVertices(g orb.Geometry) int {
	n := 0
	mapPoints(g, func(p orb.Point) orb.Point { n++; return p })
	return n
}

// pad is a rectangle larger by metres on every side, and a little more.
func pad(b orb.Bound, metres float64) orb.Bound {
	pl := planeOf(b)
	// The side nearer to a pole is the shorter: its degrees are the most.
	corners := []orb.Point{b.Min, b.Max, {b.Min[0], b.Max[1]}, {b.Max[0], b.Min[1]}}
	out := b
	for _, c := range corners {
		p := pl.project(c)
		for _, dx := range []float64{-1, 1} {
			for _, dy := range []float64{-1, 1} {
				q := pl.degrees(orb.Point{p[0] + dx*metres*1.01, p[1] + dy*metres*1.01})
				out = out.Extend(q)
			}
		}
	}
	return out
}

package sensorthings

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"cityhub/twin"
	"cityhub/twin/policy"
	"cityhub/twin/series"
)

// Bounds of one page of Observations. When one is reached the page ends early
// with an @iot.nextLink, so that no single request can keep a store busy.
const (
	maxScannedRows   = 1_000_000
	maxScannedSeries = 10_000 // Datastreams looked into at /Observations
)

// observationsSupported is the hint of a refused query of Observations.
const observationsSupported = "supported on Observations: phenomenonTime (eq gt ge lt le TIME), resultTime (the same), result (the same with a NUMBER), " +
	"at /Observations also Datastream/@iot.id eq NUMBER"

// predicate is a condition that the store cannot look up and that is tried on
// every row.
type predicate func(o twin.Observation) bool

// observationQuery is what a query asks of Observations.
type observationQuery struct {
	fromNs, toNs int64 // half-open; toNs is math.MaxInt64 without an end
	desc         bool
	datastream   twin.DatastreamID // 0: all
	where        []predicate
}

func (q *query) observations() (observationQuery, error) {
	out := observationQuery{fromNs: math.MinInt64, toNs: math.MaxInt64}
	if len(q.orderby) > 1 || (len(q.orderby) == 1 && q.orderby[0].property != "phenomenonTime") {
		return out, notServed("$orderby", "Observations are not sorted by this", "supported on Observations: $orderby=phenomenonTime asc or desc")
	}
	out.desc = len(q.orderby) == 1 && q.orderby[0].desc
	for _, c := range q.filter {
		if err := out.restrict(c); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (oq *observationQuery) restrict(c comparison) error {
	switch c.path {
	case "phenomenonTime", "resultTime":
		if c.value.kind != literalTime {
			return badOption("$filter", fmt.Sprintf("%s is compared with %q", c.path, c.value.text), "compare it with a time like 2026-10-01T00:00:00Z, without quotes")
		}
		from, to := bounds(c.op, nanos(c.value.time))
		if c.path == "phenomenonTime" {
			oq.fromNs, oq.toNs = max(oq.fromNs, from), min(oq.toNs, to)
			return nil
		}
		oq.where = append(oq.where, func(o twin.Observation) bool { return o.ResultNs >= from && o.ResultNs < to })
	case "result":
		if c.value.kind != literalNumber {
			return notServed("$filter", "result is compared with "+strconv.Quote(c.value.text), observationsSupported)
		}
		v, op := c.value.num, c.op
		oq.where = append(oq.where, func(o twin.Observation) bool {
			return !o.IsText && o.Quality != twin.QualityMissing && compareNumber(o.Value, op, v)
		})
	case "Datastream/@iot.id", "Datastream/id":
		id, ok := c.value.integer()
		if !ok || c.op != "eq" || id <= 0 {
			return badOption("$filter", "a Datastream is compared with "+strconv.Quote(c.value.text), observationsSupported)
		}
		if oq.datastream != 0 && oq.datastream != twin.DatastreamID(id) {
			oq.toNs = oq.fromNs // two at once: nothing
		}
		oq.datastream = twin.DatastreamID(id)
	case "id", "@iot.id":
		return notServed("$filter", "Observations are not found by id in a filter", "read Observations('ID')")
	default:
		return notServed("$filter", "Observations are not filtered by "+strconv.Quote(c.path), observationsSupported)
	}
	return nil
}

// bounds is the half-open span of times t with "t op at".
func bounds(op string, at int64) (from, to int64) {
	from, to = math.MinInt64, math.MaxInt64
	after := at
	if after < math.MaxInt64 {
		after++
	}
	switch op {
	case "eq":
		from, to = at, after
	case "gt":
		from = after
	case "ge":
		from = at
	case "lt":
		to = at
	case "le":
		to = after
	}
	return from, to
}

// nanos is t in ns since 1970; times that do not fit become the nearest that do.
func nanos(t time.Time) int64 {
	switch y := t.Year(); {
	case y < 1678:
		return math.MinInt64
	case y > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}

func compareNumber(a float64, op string, b float64) bool {
	switch op {
	case "eq":
		return a == b
	case "gt":
		return a > b
	case "ge":
		return a >= b
	case "lt":
		return a < b
	}
	return a <= b
}

// window is the span to read; false when it is empty.
func (oq *observationQuery) window() (series.Window, bool) {
	w := series.Window{FromNs: oq.fromNs, ToNs: oq.toNs, Descending: oq.desc}
	switch w.ToNs {
	case math.MaxInt64:
		w.ToNs = 0
	case 0: // which a Window takes for no end: matches keeps 1970 itself out
		w.ToNs = 1
	}
	return w, oq.toNs > oq.fromNs
}

func (oq *observationQuery) matches(o twin.Observation) bool {
	if o.PhenomenonNs >= oq.toNs && oq.toNs != math.MaxInt64 {
		return false
	}
	for _, p := range oq.where {
		if !p(o) {
			return false
		}
	}
	return true
}

// after moves the span behind the place where the page before ended.
func (oq *observationQuery) after(ns int64) {
	if oq.desc {
		oq.toNs = min(oq.toNs, ns)
	} else if ns > math.MinInt64 {
		oq.fromNs = max(oq.fromNs, min(ns, math.MaxInt64-1)+1)
	}
}

// count is the number of Observations of ds that match.
func (oq *observationQuery) count(ctx context.Context, v *policy.View, ds twin.DatastreamID) (int64, error) {
	w, ok := oq.window()
	if !ok {
		return 0, nil
	}
	if len(oq.where) == 0 && oq.toNs != 0 {
		return v.Count(ctx, ds, w)
	}
	var n int64
	err := v.Observations(ctx, ds, w, func(o twin.Observation) bool {
		if oq.matches(o) {
			n++
		}
		return true
	})
	return n, err
}

// page is one page of Observations that is being read and written.
type page struct {
	q       query
	oq      observationQuery
	out     *stream
	enc     *encoder
	skip    int
	written int
	scanned int
	lastDS  twin.DatastreamID // the last row that was dealt with
	lastNs  int64
	full    bool // a further row exists, or a bound was reached
}

// read adds rows of ds to the page and reports whether there is room for more.
func (p *page) read(ctx context.Context, v *policy.View, ds *twin.Datastream, oq observationQuery) (bool, error) {
	w, ok := oq.window()
	if !ok {
		return true, nil
	}
	var outErr error
	err := v.Observations(ctx, ds.ID, w, func(o twin.Observation) bool {
		match := oq.matches(o)
		if (match && p.skip == 0 && p.written == p.q.top) || p.scanned == maxScannedRows {
			p.full = true
			return false
		}
		p.scanned++
		p.lastDS, p.lastNs = o.Datastream, o.PhenomenonNs
		switch {
		case !match:
			return true
		case p.skip > 0:
			p.skip--
			return true
		}
		p.written++
		if outErr = p.out.element(func(b []byte) []byte { return p.enc.observation(b, ds, o) }); outErr != nil {
			return false
		}
		return true
	})
	if err == nil {
		err = outErr
	}
	return !p.full, err
}

// nextLink is the link to the page that follows, empty when this is the last.
func (p *page) nextLink(self, token string) string {
	if !p.full || p.q.top == 0 {
		return ""
	}
	return self + "?" + p.q.nextQuery(p.skip, token)
}

// ofDatastream answers Datastreams(n)/Observations.
func (h *Handler) ofDatastream(w http.ResponseWriter, r *http.Request, v *policy.View, q query, oq observationQuery, ds *twin.Datastream, self string) error {
	if oq.datastream != 0 && oq.datastream != ds.ID {
		oq.toNs = oq.fromNs
	}
	var count *int64
	if q.count {
		n, err := oq.count(r.Context(), v, ds.ID)
		if err != nil {
			return err
		}
		count = &n
	}
	if q.token != "" {
		ns, err := strconv.ParseInt(q.token, 10, 64)
		if err != nil {
			return badOption("$skiptoken", strconv.Quote(q.token)+" is not one of these Observations", "follow @iot.nextLink as it is")
		}
		oq.after(ns)
	}
	p := &page{q: q, oq: oq, skip: q.skip, out: newStream(w, r), enc: h.encoder(r, q)}
	p.out.begin(count)
	if _, err := p.read(r.Context(), v, ds, oq); err != nil {
		return p.out.fail(err)
	}
	return p.out.end(p.nextLink(self, strconv.FormatInt(p.lastNs, 10)))
}

// ofAll answers /Observations: Datastream after Datastream.
func (h *Handler) ofAll(w http.ResponseWriter, r *http.Request, v *policy.View, q query, oq observationQuery, self string) error {
	if oq.datastream != 0 {
		ds, err := v.Datastream(r.Context(), oq.datastream)
		switch {
		case twin.ErrorCode(err) == twin.CodeNotFound:
			// The same as a Datastream without Observations.
			ds, oq.toNs = &twin.Datastream{ID: oq.datastream}, oq.fromNs
		case err != nil:
			return err
		}
		return h.ofDatastream(w, r, v, q, oq, ds, self)
	}
	if q.count {
		return notServed("$count", "the Observations of all Datastreams are not counted", "count those of one: Datastreams(1)/Observations?$count=true")
	}
	if len(q.orderby) > 0 {
		return notServed("$orderby", "the Observations of all Datastreams are not sorted together",
			"their order is Datastream, then phenomenonTime; sort those of one: Datastreams(1)/Observations?$orderby=phenomenonTime desc")
	}
	var start twin.DatastreamID
	var startNs int64
	resume := q.token != ""
	if resume {
		var err error
		if start, startNs, err = twin.ParseObservationID(q.token); err != nil {
			return badOption("$skiptoken", strconv.Quote(q.token)+" is not one of these Observations", "follow @iot.nextLink as it is")
		}
	}
	p := &page{q: q, oq: oq, skip: q.skip, out: newStream(w, r), enc: h.encoder(r, q)}
	p.out.begin(nil)
	looked := 0
	err := v.Observed(r.Context(), start, func(ds *twin.Datastream) (bool, error) {
		if looked++; looked > maxScannedSeries {
			p.full = true
			return false, nil
		}
		of := oq
		if resume && ds.ID == start {
			of.after(startNs)
		} else {
			p.lastDS, p.lastNs = ds.ID, math.MinInt64 // before its first row
		}
		return p.read(r.Context(), v, ds, of)
	})
	if err != nil {
		return p.out.fail(err)
	}
	return p.out.end(p.nextLink(self, twin.Observation{Datastream: p.lastDS, PhenomenonNs: p.lastNs}.ID()))
}

package objects

import (
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"cityhub/spatial/city"
	"cityhub/spatial/query"
)

// rollups are the statistics of a window.
var rollups = []string{"count", "mean", "min", "max", "first", "last"}

// maxHistories bounds the histories that are read at once; each reads with all
// cores.
const maxHistories = 8

// maxStreams bounds the Datastreams of one history.
const maxStreams = 1000

type historyJSON struct {
	Object      objectRef     `json:"object"`
	From        string        `json:"from"`
	To          string        `json:"to"`
	TimeZone    string        `json:"timeZone"`
	Quality     []string      `json:"quality"` // the marks that count
	Datastreams []historyItem `json:"datastreams"`
}

type historyItem struct {
	Datastream int64        `json:"datastream"`
	Href       string       `json:"href"`
	Property   string       `json:"property"`
	Unit       string       `json:"unit,omitempty"`
	Terminal   string       `json:"terminal"`
	Name       string       `json:"terminalName,omitempty"`
	On         string       `json:"on,omitempty"` // ID of the part that it observes
	Simulated  bool         `json:"simulated,omitempty"`
	Windows    []windowJSON `json:"windows"`
}

// windowJSON is [From, To) and its rollup, in the unit of the Datastream; all but
// count are null where nothing counts.
type windowJSON struct {
	From  string   `json:"from"`
	To    string   `json:"to"`
	Count int64    `json:"count"`
	Mean  *float64 `json:"mean"`
	Min   *float64 `json:"min"`
	Max   *float64 `json:"max"`
	First *float64 `json:"first"`
	Last  *float64 `json:"last"`
}

// shortSpan is a span of time as people write it: 15m, 1h, 1d.
var shortSpan = regexp.MustCompile(`^[0-9]{1,6}[smhd]$`)

// every gives a span of time in ISO 8601.
func every(s string) string {
	if !shortSpan.MatchString(s) {
		return s
	}
	if strings.HasSuffix(s, "d") {
		return "P" + strings.ToUpper(s)
	}
	return "PT" + strings.ToUpper(s)
}

// history answers what the Datastreams gave that observe an object or its parts
// now, rolled up by windows of time.
func (h *Handler) history(r *http.Request, v *city.View) (any, error) {
	q := r.URL.Query()
	for name, values := range q {
		if !slices.Contains([]string{"property", "from", "to", "every", "zone", "quality"}, name) {
			return nil, &city.Error{Code: city.Invalid, Field: name, Message: "no such parameter here", Hint: "known are property, from, to, every, zone and quality"}
		}
		if len(values) != 1 {
			return nil, &city.Error{Code: city.Invalid, Field: name, Message: fmt.Sprintf("found it %d times, expected it once", len(values))}
		}
	}
	o := query.HistoryOptions{From: q.Get("from"), To: q.Get("to"), Every: every(q.Get("every")), Zone: q.Get("zone"), Statistics: rollups}
	if o.From == "" && o.To != "" {
		return nil, &city.Error{Code: city.Invalid, Field: "from", Message: "it is missing", Hint: "give from with to, or neither for the last 24 hours"}
	}
	if marks := q.Get("quality"); marks != "" {
		o.Quality = strings.Split(marks, ",")
		known := []string{"good", "not-evaluated", "suspect", "bad", "missing"}
		for _, m := range o.Quality {
			if !slices.Contains(known, m) {
				return nil, &city.Error{Code: city.Invalid, Field: "quality", Message: fmt.Sprintf("found %.50q, expected some of %s, with commas between", m, strings.Join(known, ", "))}
			}
		}
	}
	ctx, key := r.Context(), keyOf(r)
	version, err := v.Store.Get(ctx, key, time.Time{})
	if err != nil {
		return nil, err
	}
	parts, err := v.Store.Parts(ctx, key, time.Time{})
	if err != nil {
		return nil, err
	}
	var streams []*city.Datastream
	var items []historyItem
	found := false
	add := func(position int64, part string) {
		for _, ds := range v.Observed.On(ctx, position, nil) {
			if p := q.Get("property"); p != "" && p != ds.Property {
				continue
			}
			if found = true; ds.Text {
				continue
			}
			streams = append(streams, ds)
			items = append(items, historyItem{
				Datastream: ds.ID, Href: fmt.Sprintf("/sta/v1.1/Datastreams(%d)", ds.ID), Property: ds.Property, Unit: ds.UnitSymbol,
				Terminal: ds.Terminal, Name: ds.TerminalName, On: part, Simulated: ds.Simulated, Windows: []windowJSON{},
			})
		}
	}
	add(version.Position, "")
	for _, p := range parts {
		add(p.Position, p.Object.ID)
	}
	switch {
	case found && len(streams) == 0:
		return nil, &city.Error{Code: city.Invalid, Field: "property", Message: "its results are texts, of which there is no mean", Hint: "read them at /sta/v1.1/Datastreams(…)/Observations"}
	case len(streams) > maxStreams:
		return nil, &city.Error{Code: city.TooLarge, Field: "property", Message: fmt.Sprintf("%d Datastreams observe it and its parts, more than %d", len(streams), maxStreams), Hint: "name one property, or ask /api/v1/spatial/query"}
	}
	select {
	case h.histories <- struct{}{}:
		defer func() { <-h.histories }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	engine := query.Engine{Now: h.o.Clock}
	got, err := engine.History(ctx, v, streams, o)
	if err != nil {
		return nil, err
	}
	stamp := func(t time.Time) string { return t.Format(time.RFC3339) }
	for i := range got.Values {
		items[i].Windows = make([]windowJSON, len(got.Windows))
		for j, w := range got.Windows {
			x := got.Values[i][j]
			at := func(k int) *float64 {
				if math.IsNaN(x[k]) {
					return nil
				}
				return &x[k]
			}
			items[i].Windows[j] = windowJSON{stamp(w.From), stamp(w.To), int64(x[0]), at(1), at(2), at(3), at(4), at(5)}
		}
	}
	if items == nil {
		items = []historyItem{}
	}
	answer := historyJSON{Object: objectRef{key.ID, href(key)}, TimeZone: got.Zone.String(), Quality: got.Quality, Datastreams: items}
	if n := len(got.Windows); n > 0 {
		answer.From, answer.To = stamp(got.Windows[0].From), stamp(got.Windows[n-1].To)
	}
	return answer, nil
}

func (h *Handler) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/openapi+json")
	w.Header().Set("Cache-Control", "public, max-age=3600") // the same for everybody
	_, _ = w.Write(OpenAPIJSON())                           // the client is gone: there is nobody left to tell
}

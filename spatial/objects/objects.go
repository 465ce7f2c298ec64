// Package objects serves /api/v1/city: one object of the city model with its
// parts and versions, what is observed on it now and was before, what lies around
// it, above and below it and upstream of it, and the Datastreams that observe
// nothing.
//
// It is what ties the city model to the readings (苏州市数据条例 第二十九条; R52): from
// an object to its live values, and from an object to other objects and their
// values. Everything is read through a city.View: what the caller may not see is
// in no answer and in no count.
//
// A Handler is safe for concurrent use. The package starts no goroutine.
package objects

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/index"
	"cityhub/spatial/network"
	"cityhub/spatial/store"
)

// Prefix is the path under which a Handler serves.
const Prefix = "/api/v1/city"

//go:embed openapi.json
var openAPIJSON []byte

// OpenAPIJSON is the OpenAPI 3.1 description of what is served below Prefix, and
// of the import of city models, which package cityimport serves there.
func OpenAPIJSON() []byte { return slices.Clone(openAPIJSON) }

// Options of a Handler.
type Options struct {
	Gate city.Gate // required
	// Problem answers with an error; required.
	Problem func(http.ResponseWriter, *http.Request, error)
	// Network gives the network of canals and pipes of the whole city, also of
	// what the caller may not see; nil: upstream and downstream are not served.
	Network func(ctx context.Context) (*network.Network, error)
	Clock   func() time.Time // nil: time.Now
}

// Handler serves the objects. Use New.
type Handler struct {
	o         Options
	mux       *http.ServeMux
	histories chan struct{} // a place for each that is read
}

// New makes a Handler.
func New(o Options) *Handler {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	h := &Handler{o: o, mux: http.NewServeMux(), histories: make(chan struct{}, maxHistories)}
	serve := func(pattern string, fn func(*http.Request, *city.View) (any, error)) {
		h.mux.HandleFunc("GET "+Prefix+pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := o.Gate.City(r)
			var answer any
			if err == nil {
				answer, err = fn(r, v)
			}
			if err != nil {
				o.Problem(w, r, err)
				return
			}
			b, err := json.Marshal(answer)
			if err != nil {
				o.Problem(w, r, err)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "private, no-cache")
			w.Header().Set("Vary", "Authorization, Cookie")
			_, _ = w.Write(append(b, '\n'))
		})
	}
	serve("/objects/{dataset}/{id}", h.object)
	serve("/objects/{dataset}/{id}/observed", h.observed)
	serve("/objects/{dataset}/{id}/history", h.history)
	serve("/objects/{dataset}/{id}/related", h.related)
	serve("/datastreams/unplaced", h.unplaced)
	serve("/datastreams/{id}", h.binding)
	h.mux.HandleFunc("GET "+Prefix+"/openapi.json", h.openAPI)
	h.mux.HandleFunc(Prefix+"/", func(w http.ResponseWriter, r *http.Request) {
		o.Problem(w, r, &city.Error{Code: city.NotFound, Message: "nothing is served at " + r.URL.Path, Hint: Prefix + "/objects/DATASET/ID, with slashes in an ID written as %2F"})
	})
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// href is the path of an object.
func href(k store.Key) string {
	return Prefix + "/objects/" + url.PathEscape(k.Dataset) + "/" + url.PathEscape(k.ID)
}

// objectJSON is an object in answers.
type objectJSON struct {
	Dataset string        `json:"dataset"`
	ID      string        `json:"id"`
	Class   spatial.Class `json:"class,omitempty"`
	Type    string        `json:"type,omitempty"`
	Name    string        `json:"name,omitempty"`
	Href    string        `json:"href"`
	// BBox is west, south, east, north in WGS 84 degrees.
	BBox []float64 `json:"bbox,omitempty"`

	Level      string         `json:"level,omitempty"` // CIM1 … CIM7
	LoDs       []string       `json:"lods,omitempty"`
	Height     *float64       `json:"heightMetres,omitempty"`
	HeightFrom string         `json:"heightFrom,omitempty"` // the attribute it was taken from
	Datum      string         `json:"verticalDatum,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Parents    []objectRef    `json:"parents,omitempty"`
	Parts      []objectRef    `json:"parts,omitempty"`
	ValidFrom  *time.Time     `json:"validFrom,omitempty"`
	ValidTo    *time.Time     `json:"validTo,omitempty"`
	Versions   []versionJSON  `json:"versions,omitempty"`
	Observed   []observedJSON `json:"observed,omitempty"`

	Metres    *float64 `json:"metres,omitempty"`      // from the object that was asked about
	LowMetres *float64 `json:"lowMetres,omitempty"`   // of its geometry, above its vertical datum
	HighMet   *float64 `json:"highMetres,omitempty"`  //
	Along     *float64 `json:"metresAlong,omitempty"` // along the network
}

type objectRef struct {
	ID   string `json:"id"`
	Href string `json:"href"`
}

type versionJSON struct {
	ValidFrom time.Time  `json:"validFrom"`
	ValidTo   *time.Time `json:"validTo,omitempty"`
}

// observedJSON is a Datastream with its latest reading.
type observedJSON struct {
	Datastream int64    `json:"datastream"`
	Href       string   `json:"href"`
	Property   string   `json:"property"`
	Unit       string   `json:"unit,omitempty"`
	Terminal   string   `json:"terminal"`
	Name       string   `json:"terminalName,omitempty"`
	On         string   `json:"on,omitempty"` // ID of the part that it observes
	How        string   `json:"how,omitempty"`
	Metres     *float64 `json:"metres,omitempty"`
	Simulated  bool     `json:"simulated,omitempty"`
	Value      any      `json:"value"` // number or text; null: none, or missing
	Time       string   `json:"time,omitempty"`
	AgeSeconds *int64   `json:"ageSeconds,omitempty"`
	Quality    string   `json:"quality,omitempty"`
}

func keyOf(r *http.Request) store.Key {
	return store.Key{Dataset: r.PathValue("dataset"), ID: r.PathValue("id")}
}

// instant reads the parameter at; zero: now.
func instant(r *http.Request) (time.Time, error) {
	s := r.FormValue("at")
	if s == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, &city.Error{Code: city.Invalid, Field: "at", Message: fmt.Sprintf("%q is no time", s), Hint: "as in 2026-11-21T08:00:00+08:00; a + in a query is written %2B"}
	}
	return at, nil
}

// object answers one object with everything that is known of it.
func (h *Handler) object(r *http.Request, v *city.View) (any, error) {
	ctx, key := r.Context(), keyOf(r)
	at, err := instant(r)
	if err != nil {
		return nil, err
	}
	version, err := v.Store.Get(ctx, key, at)
	if err != nil {
		return nil, err
	}
	o := &version.Object
	out := objectJSON{
		Dataset: version.Dataset, ID: o.ID, Class: o.Class, Type: o.Type, Name: o.Name, Href: href(key), Level: o.Level.String(),
		HeightFrom: o.Height.From, Datum: o.CRS.VerticalDatum, ValidFrom: &version.ValidFrom,
	}
	if !version.ValidTo.IsZero() {
		out.ValidTo = &version.ValidTo
	}
	if o.Height.From != "" {
		out.Height = &o.Height.Metres
	}
	if f := version.Footprint; f != nil {
		if b := f.Bounds(); !b.Empty() {
			out.BBox = []float64{b.Min[0], b.Min[1], b.Max[0], b.Max[1]}
		}
	}
	for i := range o.Geometries {
		if lod := o.Geometries[i].LoD; lod != "" && !slices.Contains(out.LoDs, lod) {
			out.LoDs = append(out.LoDs, lod)
		}
	}
	slices.Sort(out.LoDs)
	if len(o.Attributes) > 0 {
		out.Attributes = make(map[string]any, len(o.Attributes))
		for _, a := range o.Attributes {
			out.Attributes[a.Name] = value(a.Value)
		}
	}
	for _, id := range o.Parents {
		out.Parents = append(out.Parents, objectRef{id, href(store.Key{Dataset: key.Dataset, ID: id})})
	}
	parts, err := v.Store.Parts(ctx, key, at)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		out.Parts = append(out.Parts, objectRef{p.Object.ID, href(store.Key{Dataset: p.Dataset, ID: p.Object.ID})})
	}
	versions, err := v.Store.Versions(ctx, key)
	if err != nil {
		return nil, err
	}
	for _, w := range versions {
		j := versionJSON{ValidFrom: w.ValidFrom}
		if !w.ValidTo.IsZero() {
			j.ValidTo = &w.ValidTo
		}
		out.Versions = append(out.Versions, j)
	}
	if out.Observed, err = h.observedOn(ctx, v, version.Position, "", at); err != nil {
		return nil, err
	}
	for _, p := range parts {
		list, err := h.observedOn(ctx, v, p.Position, p.Object.ID, at)
		if err != nil {
			return nil, err
		}
		out.Observed = append(out.Observed, list...)
	}
	return out, nil
}

// observed answers what is observed on an object and its parts.
func (h *Handler) observed(r *http.Request, v *city.View) (any, error) {
	whole, err := h.object(r, v)
	if err != nil {
		return nil, err
	}
	list := whole.(objectJSON).Observed
	if list == nil {
		list = []observedJSON{}
	}
	return map[string]any{"observed": list}, nil
}

// observedOn lists what is observed on the object at a position; part names it
// where it is a part of the object that was asked about.
func (h *Handler) observedOn(ctx context.Context, v *city.View, position int64, part string, at time.Time) ([]observedJSON, error) {
	var out []observedJSON
	for _, ds := range v.Observed.On(ctx, position, nil) {
		o := observedJSON{
			Datastream: ds.ID, Href: fmt.Sprintf("/sta/v1.1/Datastreams(%d)", ds.ID), Property: ds.Property, Unit: ds.UnitSymbol,
			Terminal: ds.Terminal, Name: ds.TerminalName, Simulated: ds.Simulated, On: part,
		}
		if v.Bindings != nil {
			if b, ok := v.Bindings.Binding(ctx, ds.ID); ok && b.Position == position {
				o.How = b.How
				if b.How == "on" || b.How == "nearest" {
					m := math.Round(b.Metres*100) / 100
					o.Metres = &m
				}
			}
		}
		reading, ok, now := city.Reading{}, false, at
		if at.IsZero() {
			now = h.o.Clock()
			reading, ok = v.Observed.Latest(ds)
		} else {
			var err error
			if reading, ok, err = v.Observed.LatestAt(ctx, ds, at); err != nil {
				return nil, err
			}
		}
		if ok {
			o.Time, o.Quality = reading.Time.UTC().Format(time.RFC3339Nano), reading.Quality
			age := int64(now.Sub(reading.Time) / time.Second)
			o.AgeSeconds = &age
			switch {
			case ds.Text:
				o.Value = reading.Text
			case !math.IsNaN(reading.Value) && !math.IsInf(reading.Value, 0):
				o.Value = reading.Value
			}
		}
		out = append(out, o)
	}
	slices.SortStableFunc(out, func(a, b observedJSON) int { return cmp.Compare(a.Property, b.Property) })
	return out, nil
}

// value is an attribute's value for encoding/json.
func value(v spatial.Value) any {
	switch v.Kind() {
	case spatial.Bool:
		b, _ := v.Bool()
		return b
	case spatial.Int:
		n, _ := v.Int()
		return n
	case spatial.Float:
		f, _ := v.Number()
		return f
	case spatial.Text:
		s, _ := v.Text()
		return s
	case spatial.JSON:
		return json.RawMessage(v.String())
	}
	return nil
}

// unplaced answers the Datastreams that observe no object, so that somebody can
// give them a place (R52).
func (h *Handler) unplaced(r *http.Request, v *city.View) (any, error) {
	if v.Bindings == nil {
		return nil, &city.Error{Code: city.Unavailable, Message: "the bindings are not kept here"}
	}
	after, err := whole(r, "after", 0, 0, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	limit, err := whole(r, "limit", 100, 1, 10_000)
	if err != nil {
		return nil, err
	}
	list, total, err := v.Bindings.Unplaced(r.Context(), after, int(limit))
	if err != nil {
		return nil, err
	}
	type unboundJSON struct {
		Datastream int64     `json:"datastream"`
		Href       string    `json:"href"`
		Terminal   string    `json:"terminal"`
		Name       string    `json:"terminalName,omitempty"`
		Property   string    `json:"property"`
		Dataset    string    `json:"dataset"`
		Point      []float64 `json:"point,omitempty"` // WGS 84 degrees, longitude first
		Reason     string    `json:"reason"`
	}
	out := make([]unboundJSON, 0, len(list))
	for _, u := range list {
		j := unboundJSON{Datastream: u.ID, Href: fmt.Sprintf("/sta/v1.1/Datastreams(%d)", u.ID), Terminal: u.Terminal, Name: u.TerminalName, Property: u.Property, Dataset: u.Dataset, Reason: u.Reason}
		if !math.IsNaN(u.Lon) && !math.IsNaN(u.Lat) {
			j.Point = []float64{u.Lon, u.Lat}
		}
		out = append(out, j)
	}
	answer := map[string]any{"total": total, "datastreams": out}
	if n := len(list); n == int(limit) {
		answer["next"] = fmt.Sprintf("%s/datastreams/unplaced?after=%d&limit=%d", Prefix, list[n-1].ID, limit)
	}
	return answer, nil
}

// binding answers what one Datastream observes.
func (h *Handler) binding(r *http.Request, v *city.View) (any, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	var b city.Binding
	ok := false
	if err == nil && v.Bindings != nil {
		b, ok = v.Bindings.Binding(r.Context(), id)
	}
	if !ok {
		return nil, &city.Error{Code: city.NotFound, Field: "id", Message: fmt.Sprintf("there is no Datastream %s", r.PathValue("id"))}
	}
	out := map[string]any{"datastream": id, "how": b.How}
	if b.District != "" {
		out["district"] = b.District
	}
	if b.Cell != "" {
		out["unitGridCell"] = b.Cell
	}
	if ref, found := v.Index.At(b.Position); b.Position != 0 && found { // else the caller may not see the object
		out["object"] = h.short(v, ref)
		out["metres"] = b.Metres
	}
	return out, nil
}

// short is an object as the index knows it.
func (h *Handler) short(v *city.View, ref index.Ref) objectJSON {
	o := v.Index.Object(ref)
	out := objectJSON{Dataset: o.Key.Dataset, ID: o.Key.ID, Class: o.Class, Type: o.Type, Name: o.Name, Href: href(o.Key)}
	if !o.Bound.IsEmpty() {
		out.BBox = []float64{o.Bound.Min[0], o.Bound.Min[1], o.Bound.Max[0], o.Bound.Max[1]}
	}
	if !math.IsNaN(o.LowMetres) {
		out.LowMetres, out.HighMet = &o.LowMetres, &o.HighMetres
	}
	return out
}

// whole reads a whole number between two bounds.
func whole(r *http.Request, name string, otherwise, least, most int64) (int64, error) {
	s := r.FormValue(name)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < least || n > most {
		return 0, &city.Error{Code: city.Invalid, Field: name, Message: fmt.Sprintf("found %q, expected a whole number from %d to %d", s, least, most)}
	}
	return n, nil
}

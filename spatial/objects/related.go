package objects

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/encoding/wkb"
	"github.com/peterstace/simplefeatures/geom"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/index"
	"cityhub/spatial/network"
)

// relation is a way in which objects belong to another.
type relation string

// The relations. Above and below compare heights where both objects have them
// above the same kind of datum, and else what their classes say: what is
// underground lies below what is not.
const (
	near       relation = "near"       // at most metres away
	within     relation = "within"     // whose footprint lies in the object's
	above      relation = "above"      // over the object's footprint, and higher
	below      relation = "below"      // under it
	upstream   relation = "upstream"   // from where water comes to it, along canals and pipes
	downstream relation = "downstream" // to where it goes
)

const (
	maxRelated        = 1000
	maxNearMetres     = 5_000
	maxAlongMetres    = 50_000
	defaultNearMetres = 50
)

// related answers the objects that stand in a relation to one, with what is
// observed on them.
func (h *Handler) related(r *http.Request, v *city.View) (any, error) {
	key := keyOf(r)
	ref, ok := v.Index.Find(key)
	if !ok {
		return nil, &city.Error{Code: city.NotFound, Message: fmt.Sprintf("the city has no object %s now", key), Hint: "relations are those of what is valid now"}
	}
	rel := relation(r.FormValue("relation"))
	metres, err := number(r, "metres", map[relation]float64{near: defaultNearMetres, upstream: maxAlongMetres, downstream: maxAlongMetres}[rel], maxAlongMetres)
	if err != nil {
		return nil, err
	}
	limit, err := whole(r, "limit", 100, 1, maxRelated)
	if err != nil {
		return nil, err
	}
	o := index.Options{Classes: spatial.Classes()} // not the district around it
	var wanted *city.Collection
	unwanted := 0 // of what the index finds, at most: it does not know the districts from the others
	if id := r.FormValue("collection"); id != "" {
		c, ok := city.CollectionOf(id)
		if !ok {
			return nil, &city.Error{Code: city.Invalid, Field: "collection", Message: fmt.Sprintf("there is no collection %q", id), Hint: "they are listed at /ogc/collections"}
		}
		o.Classes, o.Type = []spatial.Class{c.Class}, c.Type
		wanted = &c
		if c.Rest() {
			unwanted = maxRelated
		}
	}
	var found []index.Near
	along := false
	switch rel {
	case near:
		if metres > maxNearMetres {
			return nil, &city.Error{Code: city.Invalid, Field: "metres", Message: fmt.Sprintf("found %v, expected at most %d", metres, maxNearMetres)}
		}
		found = h.near(v.Index, ref, metres, o, int(limit)+1+unwanted)
	case within, above, below:
		found = h.stacked(v.Index, ref, rel, o)
	case upstream, downstream:
		if h.o.Network == nil {
			return nil, &city.Error{Code: city.Unavailable, Field: "relation", Message: "the networks of canals and pipes are not kept here"}
		}
		along = true
		if found, err = h.stream(r.Context(), v.Index, ref, rel == upstream, metres); err != nil {
			return nil, err
		}
	default:
		return nil, &city.Error{Code: city.Invalid, Field: "relation", Message: fmt.Sprintf("found %q, expected near, within, above, below, upstream or downstream", rel)}
	}
	if wanted != nil {
		found = slices.DeleteFunc(found, func(n index.Near) bool {
			x := v.Index.Object(n.Ref)
			return !wanted.Has(x.Class, x.Type)
		})
	}
	more := len(found) > int(limit)
	if more {
		found = found[:limit]
	}
	out := make([]objectJSON, 0, len(found))
	for _, n := range found {
		j := h.short(v, n.Ref)
		m := math.Round(n.Metres*100) / 100
		if along {
			j.Along = &m
		} else if rel == near {
			j.Metres = &m
		}
		if j.Observed, err = h.observedOn(r.Context(), v, v.Index.Object(n.Ref).Position, "", time.Time{}); err != nil {
			return nil, err
		}
		out = append(out, j)
	}
	return map[string]any{"object": h.short(v, ref), "relation": rel, "complete": !more, "related": out}, nil
}

// stream follows the network from an object, through what the caller sees only.
func (h *Handler) stream(ctx context.Context, v index.View, ref index.Ref, up bool, metres float64) ([]index.Near, error) {
	n, err := h.o.Network(ctx)
	if err != nil {
		return nil, err
	}
	position := v.Object(ref).Position
	if !n.Has(position) {
		return nil, &city.Error{Code: city.Invalid, Field: "relation", Message: fmt.Sprintf("%s is on no network of canals or pipes", v.Object(ref).Key), Hint: "ask for an object of the collections water or underground that has a line, or is water through which one runs"}
	}
	follow := n.Downstream
	if up {
		follow = n.Upstream
	}
	trace, err := follow(network.Start{Position: position}, network.Limits{
		MaxMetres: metres, MaxObjects: maxRelated + 1,
		Visible: func(position int64) bool { _, ok := v.At(position); return ok },
	})
	if err != nil {
		return nil, err
	}
	var out []index.Near
	for _, o := range trace.Objects {
		if other, ok := v.At(o.Position); ok {
			out = append(out, index.Near{Ref: other, Metres: o.Metres})
		}
	}
	return out, nil
}

// near is the objects at most metres away, the nearest first.
func (h *Handler) near(v index.View, ref index.Ref, metres float64, o index.Options, limit int) []index.Near {
	g := v.Footprint(ref)
	if g == nil {
		return nil
	}
	list := v.Nearest(g, metres, limit+1, o)
	return slices.DeleteFunc(list, func(n index.Near) bool { return n.Ref == ref })
}

// stacked is the objects within, above or below one.
func (h *Handler) stacked(v index.View, ref index.Ref, rel relation, o index.Options) []index.Near {
	g := v.Footprint(ref)
	if g == nil {
		return nil
	}
	self := v.Object(ref)
	var out []index.Near
	v.Meeting(g, 0, o, func(other index.Ref, _ float64) bool {
		if other == ref {
			return true
		}
		x := v.Object(other)
		keep := false
		switch rel {
		case within:
			keep = covers(v, ref, other)
		case above:
			keep = isAbove(x, self)
		case below:
			keep = isAbove(self, x)
		}
		if keep {
			out = append(out, index.Near{Ref: other})
		}
		return len(out) <= maxRelated
	})
	slices.SortFunc(out, func(a, b index.Near) int { return int(v.Object(a.Ref).Position - v.Object(b.Ref).Position) })
	return out
}

// isAbove reports whether a lies above b as a whole, half a metre of overlap
// aside, which surveys differ by.
func isAbove(a, b index.Object) bool {
	if a.Underground != b.Underground {
		return b.Underground
	}
	const slack = 0.5
	// NaN compares false: without heights nothing is said.
	return a.LowMetres >= b.HighMetres-slack && a.HighMetres > b.HighMetres
}

// covers reports whether an object's footprint lies in another's as a whole. The
// corners are looked at first: they rule out most, and cost little.
func covers(v index.View, whole, part index.Ref) bool {
	g := v.Footprint(part)
	in := g != nil
	points(g, func(p orb.Point) bool {
		in = false
		v.Containing(p[0], p[1], index.Options{Dataset: v.Object(whole).Key.Dataset}, func(found index.Ref) bool {
			in = found == whole
			return !in
		})
		return in
	})
	if !in {
		return false
	}
	a, err := planar(v.Footprint(whole))
	if err != nil {
		return false
	}
	b, err := planar(g)
	if err != nil {
		return false
	}
	in, err = geom.Covers(a, b)
	return in && err == nil
}

// planar is g for the relations of DE-9IM.
func planar(g orb.Geometry) (geom.Geometry, error) {
	b, err := wkb.Marshal(g)
	if err != nil {
		return geom.Geometry{}, err
	}
	return geom.UnmarshalWKB(b, geom.NoValidate{})
}

// points calls fn for the vertices of g until it returns false.
func points(g orb.Geometry, fn func(orb.Point) bool) bool {
	switch g := g.(type) {
	case orb.Point:
		return fn(g)
	case orb.MultiPoint:
		for _, p := range g {
			if !fn(p) {
				return false
			}
		}
	case orb.LineString:
		return points(orb.MultiPoint(g), fn)
	case orb.MultiLineString:
		for _, l := range g {
			if !points(l, fn) {
				return false
			}
		}
	case orb.Ring:
		return points(orb.MultiPoint(g), fn)
	case orb.Polygon:
		for _, r := range g {
			if !points(r, fn) {
				return false
			}
		}
	case orb.MultiPolygon:
		for _, p := range g {
			if !points(p, fn) {
				return false
			}
		}
	}
	return true
}

// number reads metres.
func number(r *http.Request, name string, otherwise, most float64) (float64, error) {
	s := r.FormValue(name)
	if s == "" {
		return otherwise, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f <= most) {
		return 0, &city.Error{Code: city.Invalid, Field: name, Message: fmt.Sprintf("found %q, expected metres from 0 to %v", s, most)}
	}
	return f, nil
}

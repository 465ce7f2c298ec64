package cql2

import (
	"bytes"
	"encoding/json"

	"github.com/paulmach/orb"
)

// JSON prints e in the JSON encoding, without white space; ParseJSON of it
// gives the same tree.
func JSON(e Expr) []byte {
	w := &jsonWriter{}
	w.expr(e)
	return w.b.Bytes()
}

type jsonWriter struct{ b bytes.Buffer }

func (w *jsonWriter) put(s string) { w.b.WriteString(s) }

func (w *jsonWriter) text(s string) {
	enc := json.NewEncoder(&w.b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string into a buffer: cannot fail
	w.b.Truncate(w.b.Len() - 1)
}

func (w *jsonWriter) number(x float64) { w.put(formatNumber(x, 'e')) }

func (w *jsonWriter) expr(e Expr) {
	switch e := e.(type) {
	case *Bool:
		if e.Value {
			w.put("true")
		} else {
			w.put("false")
		}
	case *Number:
		w.number(e.Value)
	case *String:
		w.text(e.Value)
	case *Instant:
		key := "timestamp"
		if e.Date {
			key = "date"
		}
		w.put(`{"` + key + `":"` + formatInstant(e) + `"}`)
	case *Interval:
		w.put(`{"interval":[`)
		w.bound(e.Start)
		w.put(",")
		w.bound(e.End)
		w.put("]}")
	case *BBox:
		w.put(`{"bbox":[`)
		for i, x := range e.values() {
			w.comma(i)
			w.number(x)
		}
		w.put("]}")
	case *Geometry:
		z := e.Z
		w.geometry(e.Geom, &z, e.Z != nil)
	case *Array:
		w.list(e.Items)
	case *Property:
		w.put(`{"property":`)
		w.text(e.Name)
		w.put("}")
	case *Function:
		w.operation(e.Name, e.Args)
	case *Call:
		if e.Op == OpIn {
			w.operation(e.Op.String(), []Expr{e.Args[0], &Array{Items: e.Args[1:]}})
		} else {
			w.operation(e.Op.String(), e.Args)
		}
	}
}

func (w *jsonWriter) operation(name string, args []Expr) {
	w.put(`{"op":`)
	w.text(name)
	w.put(`,"args":`)
	w.list(args)
	w.put("}")
}

func (w *jsonWriter) comma(i int) {
	if i > 0 {
		w.put(",")
	}
}

func (w *jsonWriter) list(items []Expr) {
	w.put("[")
	for i, x := range items {
		w.comma(i)
		w.expr(x)
	}
	w.put("]")
}

func (w *jsonWriter) bound(e Expr) {
	switch e := e.(type) {
	case nil:
		w.put(`".."`)
	case *Instant:
		w.put(`"` + formatInstant(e) + `"`)
	default:
		w.expr(e)
	}
}

func (w *jsonWriter) geometry(g orb.Geometry, z *[]float64, hasZ bool) {
	w.put(`{"type":"` + g.GeoJSONType() + `",`)
	if c, ok := g.(orb.Collection); ok {
		w.put(`"geometries":[`)
		for i, m := range c {
			w.comma(i)
			w.geometry(m, z, hasZ)
		}
		w.put("]}")
		return
	}
	w.put(`"coordinates":`)
	t := vertexTree(g)
	switch g.(type) {
	case orb.Point: // GeoJSON does not put a single position into an array
		t = t.parts[0]
	case orb.MultiPoint:
		for i := range t.parts {
			t.parts[i] = t.parts[i].parts[0]
		}
	}
	w.nested(t, z, hasZ)
	w.put("}")
}

func (w *jsonWriter) nested(t vtree, z *[]float64, hasZ bool) {
	w.put("[")
	defer w.put("]")
	if t.point == nil {
		for i, c := range t.parts {
			w.comma(i)
			w.nested(c, z, hasZ)
		}
		return
	}
	w.number(t.point[0])
	w.put(",")
	w.number(t.point[1])
	if hasZ && len(*z) > 0 {
		w.put(",")
		w.number((*z)[0])
		*z = (*z)[1:]
	}
}

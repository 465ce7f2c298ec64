package features

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/store"
)

// ready is a Reader that has its answer already, so that a benchmark measures
// the handler and not a store. It asks Keep, as a store does.
type ready struct {
	store.Reader
	versions []*store.Version
}

func (r ready) Query(_ context.Context, q store.Query) (store.Page, error) {
	var p store.Page
	limit := max(q.Limit, 1)
	for _, v := range r.versions {
		if v.Position <= q.After || len(q.Positions) > 0 && (v.Position < q.Positions[0] || v.Position > q.Positions[len(q.Positions)-1]) {
			continue
		}
		if q.Keep != nil {
			if ok, err := q.Keep(v); err != nil || !ok {
				continue
			}
		}
		if len(p.Versions) == limit {
			p.Next = p.Versions[limit-1].Position
			break
		}
		p.Versions = append(p.Versions, v)
	}
	return p, nil
}

func (r ready) Count(context.Context, store.Query) (int64, error) { return int64(len(r.versions)), nil }

type readyGate struct{ view city.View }

func (g *readyGate) City(*http.Request) (*city.View, error) { return &g.view, nil }

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// streams finds the Datastreams of a position at once, as the hub does.
type streams struct {
	*watch
	by map[int64][]*city.Datastream
}

func (s streams) On(_ context.Context, position int64, dst []*city.Datastream) []*city.Datastream {
	return append(dst, s.by[position]...)
}

func (s streams) Objects(context.Context, string) ([]int64, error) {
	return slices.Sorted(maps.Keys(s.by)), nil
}

// BenchmarkItems is the handler's share of the speed goal: 1,000 buildings of a
// dozen points by box, attribute and live value, of 1,200 that the store gives.
func BenchmarkItems(b *testing.B) {
	w := newTown(b)
	now := time.Now()
	w.observed.props = []city.Property{{Name: "pm25", UnitCode: "ug/m3"}}
	s := streams{w.observed, map[int64][]*city.Datastream{}}
	var list []*store.Version
	for i := range 1200 {
		o := square(fmt.Sprintf("way/%d", i), spatial.ClassBuilding, 120.6+0.0001*float64(i), 31.3)
		g := &o.Geometries[0]
		for j := range 8 {
			g.XYZ = append(g.XYZ, 120.6+0.0001*float64(i), 31.301-0.0001*float64(j+1), 0)
		}
		g.Rings[0] = 12
		o.Height = spatial.Height{Metres: 3.5, From: "height"}
		o.Attributes = spatial.Attributes{{Name: "use", Value: spatial.TextValue("住宅")}, {Name: "storeys", Value: spatial.IntValue(int64(i % 6))}, {Name: "material", Value: spatial.TextValue("brick")}, {Name: "area", Value: spatial.FloatValue(123.456)}}
		pos := int64(i + 1)
		list = append(list, &store.Version{Dataset: "osm", Object: *o, Footprint: g, Position: pos, ValidFrom: now})
		ds := &city.Datastream{ID: pos, Property: "pm25", UnitCode: "ug/m3", Position: pos}
		s.by[pos] = []*city.Datastream{ds}
		w.observed.readings[pos] = []city.Reading{{Time: now, Value: 80.5, Quality: "good"}}
	}
	h := w.Handler.(*handler)
	h.o.Gate = &readyGate{city.View{Key: "all", Store: ready{nil, list}, Observed: s}}
	for name, query := range map[string]string{
		"plain":  "limit=1000",
		"filter": "limit=1000&live=true&bbox=120.5,31.2,120.9,31.4&filter=storeys%3E0+AND+pm25_quality='good'",
		"4549":   "limit=1000&crs=http://www.opengis.net/def/crs/EPSG/0/4549",
	} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest("GET", "/ogc/collections/buildings/items?"+query, nil)
			rec := httptest.NewRecorder()
			w.ServeHTTP(rec, r)
			if rec.Code != 200 {
				b.Fatal(rec.Body)
			}
			n := len(ids(decode(b, rec.Body.Bytes())))
			b.ReportAllocs()
			b.ReportMetric(float64(n), "features")
			b.SetBytes(int64(rec.Body.Len()))
			for b.Loop() {
				w.ServeHTTP(discard{http.Header{}}, r)
			}
			b.ReportMetric(float64(n), "features")
		})
	}
}

package cityimport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/store"
	"cityhub/spatial/store/gpkg"
)

// feature is a Feature of GeoJSON with an identifier and a name.
func feature(id, geometry string) string {
	return fmt.Sprintf(`{"type":"Feature","id":%q,"properties":{"name":"n"},"geometry":%s}`, id, geometry)
}

// collection is a FeatureCollection with a Feature on each line from the second.
func collection(features ...string) string {
	return `{"type":"FeatureCollection","features":[` + "\n" + strings.Join(features, ",\n") + "\n]}\n"
}

func polygon(rings ...string) string {
	return `{"type":"Polygon","coordinates":[[` + strings.Join(rings, "],[") + `]]}`
}

const (
	square = "[120.6,31.3],[120.601,31.3],[120.601,31.301],[120.6,31.301],[120.6,31.3]"
	bowTie = "[120.6,31.3],[120.601,31.301],[120.601,31.3],[120.6,31.301],[120.6,31.3]"
)

func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func total(t testing.TB, s store.Reader) (n int64) {
	t.Helper()
	for _, class := range append(spatial.Classes(), "") {
		c, err := s.Count(t.Context(), store.Query{Class: class})
		if err != nil {
			t.Fatal(err)
		}
		n += c
	}
	return n
}

// TestRefused: each file is refused with its line and the reason, and what the
// store held before is untouched.
func TestRefused(t *testing.T) {
	s := openStore(t)
	before := Options{Store: s, Dataset: "test", Class: spatial.ClassBuilding}
	imported(t, before, write(t, "good.geojson", collection(feature("a", polygon(square)), feature("old", polygon(square)))))
	good := feature("a", polygon(square))
	bomb := `<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><core:CityModel xmlns:core="http://www.opengis.net/citygml/2.0">&b;</core:CityModel>`
	for _, c := range []struct {
		name, file, content string
		change              func(*Options)
		line                int
		message             string // that the error contains
	}{
		{"NaN", "x.geojson", collection(good, feature("b", `{"type":"Point","coordinates":[NaN,31]}`)), nil, 3, "found 'N'"},
		{"infinite", "x.geojson", collection(good, feature("b", `{"type":"Point","coordinates":[1e999,31]}`)), nil, 3, "1e999"},
		{"text for a number", "x.geojson", collection(good, feature("b", `{"type":"Point","coordinates":["120",31]}`)), nil, 3, "number"},
		{"metres without CRS", "x.geojson", collection(feature("b", `{"type":"Point","coordinates":[500000,3465000]}`)), nil, 2, "longitude and latitude"},
		{"latitude first", "x.geojson", collection(good, feature("b", `{"type":"Point","coordinates":[31.3,120.6]}`)), nil, 3, "latitude first"},
		{"another place", "x.geojson", collection(feature("b", `{"type":"Point","coordinates":[500000,3465000]}`)), func(o *Options) { o.CRS = spatial.CRS{Horizontal: 28992} }, 2, "28992"},
		{"axes of a projection", "x.geojson", collection(feature("b", `{"type":"Point","coordinates":[3465000,500000]}`)), func(o *Options) { o.CRS = spatial.CRS{Horizontal: 4549} }, 2, "--swap-axes"},
		{"degrees for metres", "x.geojson", collection(good), func(o *Options) { o.CRS = spatial.CRS{Horizontal: 4549} }, 2, "degrees"},
		{"unknown CRS", "x.geojson", `{"type":"FeatureCollection","crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:EPSG::31468"}},"features":[` + "\n" + good + "]}", nil, 2, "31468"},
		{"unnamed CRS", "x.geojson", `{"type":"FeatureCollection","crs":{"type":"name","properties":{"name":"local"}},"features":[` + "\n" + good + "]}", nil, 2, "--crs"},
		{"no class", "x.geojson", collection(good), func(o *Options) { o.Class = "" }, 2, "--class"},
		{"twice", "x.geojson", collection(good, feature("b", polygon(square)), good), nil, 4, "twice"},
		{"cut off", "x.geojson", collection(good, feature("b", polygon(square)))[:300], nil, 3, "end"},
		{"empty file", "x.geojson", "", nil, 1, "empty"},
		{"blanks", "x.geojson", " \n\n ", nil, 3, "the text ends"},
		{"no features", "x.geojson", collection(), nil, 1, "no object"},
		{"not a model", "x.geojson", `{"hello":1}`, nil, 1, "one of GeoJSON"},
		{"zip", "x.geojson", "PK\x03\x04", nil, 1, "not a valid zip file"},
		{"deep", "x.geojson", `{"type":"FeatureCollection","features":` + strings.Repeat("[", 100_000), nil, 1, "inside each other"},
		{"XML bomb", "x.gml", bomb, nil, 1, "expected CityModel"},
		{"wrong XML", "x.gml", "<html><body/></html>", nil, 1, "html"},
		{"no such identifier", "x.geojson", collection(good), func(o *Options) { o.ID = "code" }, 2, "--id"},
		{"complete but not", "x.geojson", collection(good), func(o *Options) { o.SkipUnreadable = true }, 0, "would count as gone"},
		{"not in China", "x.geojson", collection(feature("b", `{"type":"Point","coordinates":[4.45,51.9]}`)), func(o *Options) { o.GCJ02 = true }, 2, "China"},
		{"strict", "x.geojson", collection(good, feature("b", polygon(bowTie))), func(o *Options) { o.Strict = true }, 3, "ring-self-intersection"},
		{"strict, nothing mended", "x.geojson", collection(good, feature("b", polygon(square[:len(square)-len(",[120.6,31.3]")]))), func(o *Options) { o.Strict, o.Repair = true, RepairNone }, 3, "ring-not-closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{Store: s, Dataset: "test", Class: spatial.ClassBuilding, Complete: true, Sources: []Source{{Path: write(t, c.file, c.content), Name: c.file}}}
			if c.change != nil {
				c.change(&o)
			}
			r, err := Run(t.Context(), o)
			var fault *store.Error
			if !errors.As(err, &fault) {
				t.Fatalf("no error of the store's kind: %v", err)
			}
			if fault.Code != store.Invalid || fault.File != c.file && c.line > 0 || fault.Line != c.line || !strings.Contains(err.Error(), c.message) {
				t.Errorf("line %d of %q, want %d and %q in: %v", fault.Line, fault.File, c.line, c.message, err)
			}
			if r == nil || r.Stored || r.Added+r.Updated+r.Ended+r.Unchanged != 0 {
				t.Errorf("report %+v", r)
			}
			if n := total(t, s); n != 2 {
				t.Errorf("%d objects in the store, want the 2 of before", n)
			}
		})
	}
}

// TestMendedAndFlagged: what is safe is mended, what is not is stored flagged,
// and both are told with line and code.
func TestMendedAndFlagged(t *testing.T) {
	hole := "[120.6002,31.3002],[120.6004,31.3002],[120.6004,31.3004],[120.6002,31.3004],[120.6002,31.3002]" // in the direction of the square
	path := write(t, "x.geojson", collection(
		feature("good", polygon(square)),
		feature("unclosed", polygon(square[:len(square)-len(",[120.6,31.3]")])),
		feature("repeated", polygon("[120.6,31.3],[120.6,31.3],"+square[len("[120.6,31.3],"):])),
		feature("hole", polygon(square, hole)),
		feature("order", polygon(hole, square)),
		feature("spike", polygon("[120.6,31.3],[120.601,31.3],[120.601,31.301],[120.6005,31.301],[120.6005,31.302],[120.6005,31.301],[120.6,31.301],[120.6,31.3]")),
		feature("bow tie", polygon(bowTie)),
		feature("sliver", polygon("[120.6,31.3],[120.602,31.3],[120.601,31.3],[120.603,31.3],[120.6,31.3]")),
		feature("points", polygon("[120.6,31.3],[120.601,31.3],[120.6,31.3]")),
		feature("empty", `{"type":"Polygon","coordinates":[]}`),
		feature("none", "null"),
	))
	s := openStore(t)
	var findings []Finding
	r := imported(t, Options{Store: s, Class: spatial.ClassBuilding, Finding: func(f Finding) { findings = append(findings, f) }}, path)
	if r.Objects != 11 || r.Added != 11 || r.Flagged != 1 || r.Unreadable != 0 || r.NoGeometry != 4 {
		t.Errorf("%+v", r)
	}
	for _, want := range []struct {
		line   int
		action Action
		number int
	}{
		{3, Repaired, 103}, {4, Repaired, 102}, {5, Repaired, 208}, {6, Repaired, 206}, {7, Repaired, 104}, {8, Kept, 104}, {9, Dropped, 104}, {10, Dropped, 101}, {11, Dropped, 902},
	} {
		found := false
		for _, f := range findings {
			found = found || f.Line == want.line && f.Action == want.action && f.ISO19107 == want.number
			if f.Line == 2 {
				t.Errorf("a square is found wrong: %v", f)
			}
		}
		if !found {
			t.Errorf("line %d: no finding %s %d in %v", want.line, want.action, want.number, findings)
		}
	}
	for id, points := range map[string]int{"good": 4, "unclosed": 4, "repeated": 4, "hole": 8, "order": 8, "spike": 5, "bow tie": 4, "sliver": 0, "points": 0, "empty": 0, "none": 0} {
		v, err := s.Get(t.Context(), store.Key{Dataset: "test", ID: id}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for i := range v.Object.Geometries {
			n += v.Object.Geometries[i].NumPoints()
		}
		_, flagged := v.Object.Attributes.Get(GeometryFaults)
		if n != points || flagged != (id == "bow tie") {
			t.Errorf("%s: %d points, flagged %v; want %d", id, n, flagged, points)
		}
	}
}

// TestSkipUnreadable imports what can be read, once that has been asked for.
func TestSkipUnreadable(t *testing.T) {
	path := write(t, "x.geojson", collection(feature("a", polygon(square)), feature("b", `{"type":"Point","coordinates":["x",31]}`)))
	s := openStore(t)
	r := imported(t, Options{Store: s, Class: spatial.ClassBuilding, SkipUnreadable: true}, path)
	if r.Unreadable != 1 || r.Added == 0 || r.Findings[0].Action != Dropped || r.Findings[0].First[0].Line != 3 {
		t.Errorf("%+v", r)
	}
}

// TestFarFromTheCity: a zone of Gauss-Krüger beside the right one is plausible by
// itself, but not beside the rest of the city.
func TestFarFromTheCity(t *testing.T) {
	s := openStore(t)
	imported(t, Options{Store: s, Class: spatial.ClassBuilding}, write(t, "x.geojson", collection(feature("a", polygon(square)))))
	metres := polygon("[463000,3465000],[463100,3465000],[463100,3465100],[463000,3465100],[463000,3465000]")
	for crs, far := range map[int]bool{4549: false, 4548: true} {
		o := Options{Store: s, Dataset: "other", DryRun: true, Class: spatial.ClassWater, CRS: spatial.CRS{Horizontal: crs}}
		r := imported(t, o, write(t, "x.geojson", collection(feature("b", metres))))
		if (len(r.Notes) == 1) != far {
			t.Errorf("EPSG:%d: %q, extent %+v", crs, r.Notes, r.Extent)
		}
	}
}

// TestTextIsHarmless: what a file holds does not steer the terminal.
func TestTextIsHarmless(t *testing.T) {
	r := imported(t, Options{Store: openStore(t), Class: spatial.ClassBuilding}, write(t, "x.geojson", strings.Replace(collection(feature("ESC[2J", polygon(bowTie))), "ESC", `\u001b`, 1)))
	var b strings.Builder
	if err := r.WriteText(&b); err != nil || strings.Contains(b.String(), "\x1b") || !strings.Contains(b.String(), "[2J") {
		t.Errorf("%v: %q", err, b.String())
	}
}

// TestSwapAxes: latitude first, against RFC 7946; a GML of EPSG:4326 with the
// longitude first, against the CRS's definition.
func TestSwapAxes(t *testing.T) {
	gml := `<core:CityModel xmlns:core="http://www.opengis.net/citygml/2.0" xmlns:bldg="http://www.opengis.net/citygml/building/2.0" xmlns:gml="http://www.opengis.net/gml">
<core:cityObjectMember><bldg:Building gml:id="b"><bldg:lod0FootPrint><gml:MultiSurface srsName="urn:ogc:def:crs:EPSG::4326" srsDimension="2"><gml:surfaceMember><gml:Polygon><gml:exterior><gml:LinearRing>
<gml:posList>120.6 31.3 120.601 31.3 120.601 31.301 120.6 31.301 120.6 31.3</gml:posList>
</gml:LinearRing></gml:exterior></gml:Polygon></gml:surfaceMember></gml:MultiSurface></bldg:lod0FootPrint></bldg:Building></core:cityObjectMember></core:CityModel>`
	for name, content := range map[string]string{
		"x.geojson": collection(feature("b", polygon("[31.3,120.6],[31.3,120.601],[31.301,120.601],[31.301,120.6],[31.3,120.6]"))),
		"x.gml":     gml,
	} {
		s := openStore(t)
		r := imported(t, Options{Store: s, Class: spatial.ClassBuilding, SwapAxes: true}, write(t, name, content))
		if !r.Extent.near(120.6, 31.3, 120.601, 31.301, 1e-12) || r.Flagged+r.Unreadable != 0 {
			t.Errorf("%s: %+v", name, r)
		}
		o := Options{Store: s, Dataset: "x", Class: spatial.ClassBuilding, Sources: []Source{{Path: write(t, name, content)}}}
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "latitude first") && !strings.Contains(err.Error(), "--swap-axes") {
			t.Errorf("%s as it is: %v", name, err)
		}
	}
}

// TestStopped: an import whose context ends stores nothing.
func TestStopped(t *testing.T) {
	var features []string
	for i := range 2000 {
		features = append(features, feature(fmt.Sprint(i), polygon(square)))
	}
	path := write(t, "x.geojson", collection(features...))
	s := openStore(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	seen := 0
	o := Options{Store: s, Dataset: "x", Class: spatial.ClassBuilding, Sources: []Source{{Path: path}}}
	o.Finding = func(Finding) {}
	o.Store = importerFunc(func(ctx context.Context, io store.ImportOptions, objects seq) (store.ImportResult, error) {
		return s.Import(ctx, io, func(yield func(*spatial.CityObject, error) bool) {
			for obj, err := range objects {
				if seen++; seen == 1000 {
					stop()
				}
				if !yield(obj, err) {
					return
				}
			}
		})
	})
	r, err := Run(ctx, o)
	if !errors.Is(err, context.Canceled) || r.Stored || seen < 1000 {
		t.Errorf("%v after %d objects, %+v", err, seen, r)
	}
	if n := total(t, s); n != 0 {
		t.Errorf("%d objects stored", n)
	}
}

// TestManyVertices: a polygon of 10 million points is refused with its line, in
// memory that does not grow with the file; so is a coordinate array of 130 MB.
func TestManyVertices(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 130 MB")
	}
	path := filepath.Join(t.TempDir(), "x.geojson")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, `{"type":"FeatureCollection","features":[`)
	fmt.Fprintln(w, feature("a", polygon(square))+",")
	fmt.Fprint(w, `{"type":"Feature","id":"b","properties":{},"geometry":{"type":"Polygon","coordinates":[[[120.6,31.3]`)
	for i := range 10_000_000 {
		fmt.Fprintf(w, ",[120.%d,31]", i%1000)
	}
	fmt.Fprintln(w, `]]}}]}`)
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	s := openStore(t)
	var peak atomic.Uint64
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapInuse))
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	_, err = Run(t.Context(), Options{Store: s, Dataset: "x", Class: spatial.ClassBuilding, Sources: []Source{{Path: path, Name: "x"}}})
	close(stop)
	<-ended
	var fault *store.Error
	if !errors.As(err, &fault) || fault.Line != 3 || !strings.Contains(err.Error(), "too-large") {
		t.Errorf("%v", err)
	}
	if n := total(t, s); n != 0 {
		t.Errorf("%d objects stored", n)
	}
	// Limits.ObjectPoints is 4 million points of 24 bytes; an array that grows
	// is there twice for a moment, and the garbage collector lags by as much.
	if got := peak.Load() >> 20; got > 600 {
		t.Errorf("%d MiB of heap for one polygon, want 600 at most", got)
	} else {
		t.Logf("%d MiB of heap", got)
	}
}

type seq = iter.Seq2[*spatial.CityObject, error]

type importerFunc func(context.Context, store.ImportOptions, seq) (store.ImportResult, error)

func (f importerFunc) Import(ctx context.Context, o store.ImportOptions, objects seq) (store.ImportResult, error) {
	return f(ctx, o, objects)
}

var _ Importer = (*gpkg.Store)(nil)

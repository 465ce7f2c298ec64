package open

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

const (
	feature    = `{"type":"Feature","id":"a","geometry":{"type":"Point","coordinates":[120.5,31.25]},"properties":{"name":"甲"}}`
	collection = `{"features":[` + feature + `],"type":"FeatureCollection"}`
	cityJSON   = `{"type":"CityJSON","version":"2.0","transform":{"scale":[1,1,1],"translate":[0,0,0]},"CityObjects":{"a":{"type":"Building"}},"vertices":[]}`
	cityGML    = `<?xml version="1.0"?><!-- a > b --><core:CityModel xmlns:core="http://www.opengis.net/citygml/2.0" xmlns:bldg="http://www.opengis.net/citygml/building/2.0" xmlns:gml="http://www.opengis.net/gml"><core:cityObjectMember><bldg:Building gml:id="a"/></core:cityObjectMember></core:CityModel>`
	kmlText    = `<?xml version="1.0"?><kml><Placemark id="a"><Point><coordinates>120.5,31.25</coordinates></Point></Placemark></kml>`
	csvText    = "id,name,lon,lat\na,甲,120.5,31.25\n"
)

func write(t testing.TB, name string, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func gz(t testing.TB, content string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// archive is name, content, name, content, ….
func archive(t testing.TB, entries ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(entries); i += 2 {
		f, err := w.Create(entries[i])
		if err == nil {
			_, err = io.WriteString(f, entries[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFormatIsFoundByContent(t *testing.T) {
	indent := func(s string) string { return strings.ReplaceAll(s, ",", ",\n ") }
	for name, c := range map[string]struct{ file, content, format string }{
		"GeoJSON, type last":      {"x", collection, "GeoJSON"},
		"GeoJSON, wrong name":     {"x.gml", collection, "GeoJSON"},
		"GeoJSON, BOM":            {"x.json", "\ufeff \n" + collection, "GeoJSON"},
		"one Feature":             {"x.json", feature, "GeoJSON"},
		"GeoJSON lines":           {"x.json", feature + "\n" + strings.Replace(feature, `"a"`, `"b"`, 1) + "\n", "GeoJSONSeq"},
		"GeoJSON sequence":        {"x", "\x1e" + feature + "\n\x1e" + feature + "\n", "GeoJSONSeq"},
		"one line by name":        {"x.geojsonl", feature + "\n", "GeoJSONSeq"},
		"CityJSON":                {"x", cityJSON, "CityJSON 2.0"},
		"CityJSON, many lines":    {"x.json", indent(cityJSON), "CityJSON 2.0"},
		"CityJSONSeq":             {"x.json", strings.Replace(cityJSON, `"a":{"type":"Building"}`, "", 1) + "\n" + `{"type":"CityJSONFeature","id":"a","CityObjects":{"a":{"type":"Building"}},"vertices":[]}` + "\n", "CityJSONSeq 2.0"},
		"CityGML":                 {"x.xml", cityGML, "CityGML 2.0"},
		"KML":                     {"x.xml", kmlText, "KML"},
		"CSV":                     {"x.txt", csvText, "CSV"},
		"CSV, semicolon":          {"x", strings.ReplaceAll(csvText, ",", ";"), "CSV"},
		"gzip":                    {"x.geojson.gz", gz(t, collection), "GeoJSON"},
		"gzip of CityGML":         {"x", gz(t, cityGML), "CityGML 2.0"},
		"zip":                     {"x.zip", archive(t, "readme.txt", "hi", "dir/", "", "dir/a.geojson", collection, "__MACOSX/._a.geojson", "x"), "GeoJSON"},
		"KMZ":                     {"x.kmz", archive(t, "images/a.png", "x", "doc.kml", kmlText, "other.kml", "<kml/>"), "KML"},
		"KMZ without doc.kml":     {"x.kmz", archive(t, "main.kml", kmlText, "sub/other.kml", "<kml/>"), "KML"},
		"KMZ of links":            {"x.kmz", archive(t, "doc.kml", "<kml><Document><NetworkLink/></Document></kml>", "layers/a.kml", kmlText), "KML"},
		"zip with metadata":       {"x.zip", archive(t, "a.xml", "<metadata/>", "a.geojson", collection), "GeoJSON"},
		"a name with .. in a zip": {"x.zip", archive(t, "../../../tmp/evil.geojson", collection), "GeoJSON"},
	} {
		r := read(t, write(t, c.file, c.content), Options{})
		if r.info.Format != c.format && !(c.format == "CityJSONSeq 2.0" && strings.Contains(r.info.Format, "Seq")) || len(r.objects) == 0 || r.objects[0].ID != "a" {
			t.Errorf("%s: %s with %d objects, want %s", name, r.info.Format, len(r.objects), c.format)
		}
	}
	if _, err := os.Stat("/tmp/evil.geojson"); !errors.Is(err, os.ErrNotExist) {
		t.Error("a name in an archive was used")
	}
}

func TestStdinAndOptions(t *testing.T) {
	r := read(t, "-", Options{Stdin: strings.NewReader(collection)})
	if len(r.objects) != 1 || r.info.Format != "GeoJSON" || r.objects[0].Source.File != "-" {
		t.Errorf("%+v", r)
	}
	if r = read(t, "-", Options{Stdin: strings.NewReader(gz(t, csvText))}); len(r.objects) != 1 || r.info.Format != "CSV" {
		t.Errorf("compressed: %+v", r)
	}
	two := write(t, "two.zip", archive(t, "a.geojson", collection, "b.kml", kmlText))
	if r = read(t, two, Options{Member: "b.kml"}); r.info.Format != "KML" {
		t.Errorf("member: %+v", r.info)
	}
	o := Options{Format: "csv", Column: "form"}
	if r = read(t, write(t, "x.dat", "nr,form\n1,POINT(1 2)\n"), o); len(r.objects) != 1 || len(r.objects[0].Geometries) != 1 {
		t.Errorf("format and column: %+v", r)
	}
	o = Options{}
	o.Class, o.NameProperty = spatial.ClassRoad, []string{"title"}
	if r = read(t, write(t, "x.geojson", strings.ReplaceAll(collection, "name", "title")), o); r.objects[0].Name != "甲" || r.objects[0].Class != spatial.ClassRoad {
		t.Errorf("options: %+v", r.objects[0])
	}
	names := map[string]bool{}
	for _, f := range Formats() {
		if f.Name == "" || names[f.Name] || len(f.Extensions) == 0 || f.Title == "" {
			t.Errorf("%+v", f)
		}
		names[f.Name] = true
	}
	if len(names) != 10 {
		t.Errorf("%d formats", len(names))
	}
}

func TestWhatCannotBeOpened(t *testing.T) {
	encrypted := []byte(archive(t, "a.geojson", collection))
	for _, at := range []int{6, bytes.Index(encrypted, []byte("PK\x01\x02")) + 8} {
		encrypted[at] |= 1
	}
	many := make([]string, 0, 2*maxEntries+2)
	for range maxEntries + 1 {
		many = append(many, "x", "")
	}
	for name, c := range map[string]struct{ path, want string }{
		"missing":      {filepath.Join(t.TempDir(), "none"), "no such file"},
		"folder":       {t.TempDir(), "this is a folder"},
		"empty":        {write(t, "x", ""), "the file is empty"},
		"stdin":        {"-", "no standard input"},
		"unknown":      {write(t, "x.bin", "\x00\x01\x02hello"), "There are cityjson (.city.json, .cityjson), cityjsonseq"},
		"a table":      {write(t, "x.txt", "a,b\n1,2\n"), "none that can be read"},
		"JSON":         {write(t, "x", `{"a":{"type":"Feature"},"type":"Topology"}`), `whose type is "Topology"`},
		"array":        {write(t, "x", `[1]`), "JSON array"},
		"broken JSON":  {write(t, "x", `{"a":`), "x:1 (byte 5): the text ends"},
		"XML":          {write(t, "x", `<?xml version="1.0"?><html/>`), `first element is "html"`},
		"OSM XML":      {write(t, "x.osm", `<osm version="0.6"/>`), "osmium cat"},
		"part":         {write(t, "x.dbf", "\x03xxxxx"), "name the .shp file"},
		"gzip in gzip": {write(t, "x", gz(t, gz(t, collection))), "compressed file inside"},
		"gzip cut off": {write(t, "x", gz(t, strings.Repeat(collection, 100))[:100]), "unexpected EOF"},
		"empty zip":    {write(t, "x", archive(t)), "none of the 0 entries"},
		"no data":      {write(t, "x", archive(t, "a.txt", "x")), "none of the 1 entries"},
		"two":          {write(t, "x", archive(t, "a.geojson", collection, "b.kml", kmlText)), `2 data sets: "a.geojson", "b.kml"`},
		"encrypted":    {write(t, "x", string(encrypted)), "encrypted"},
		"many entries": {write(t, "x", archive(t, many...)), "the limit is 10000"},
		"zip cut off":  {write(t, "x", archive(t, "a.geojson", collection)[:80]), "zip"},
	} {
		dir := t.TempDir()
		_, done, err := File(t.Context(), c.path, Options{TempDir: dir})
		var e *citymodel.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || done != nil {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind %v, %v", name, left, err)
		}
	}
	if _, _, err := File(t.Context(), write(t, "x", collection), Options{Format: "dxf"}); err == nil || !strings.Contains(err.Error(), `no format is called "dxf"; there are cityjson`) {
		t.Error(err)
	}
}

func TestBombs(t *testing.T) {
	zeros := strings.Repeat(" ", 66<<20)
	bomb, packed := gz(t, zeros), archive(t, "a.geojson", zeros)
	for name, c := range map[string]struct {
		content string
		o       Options
		want    string
	}{
		"gzip, ratio":   {bomb, Options{}, "no city model but a bomb"},
		"zip, ratio":    {packed, Options{}, "no city model but a bomb"},
		"gzip, size":    {bomb, Options{MaxUnpacked: 1 << 20}, "more than 1048576 bytes"},
		"zip, size":     {packed, Options{MaxUnpacked: 1 << 20}, "more than 1048576 bytes"},
		"stdin, size":   {"", Options{MaxUnpacked: 1 << 20, Stdin: strings.NewReader(zeros)}, "more than 1048576 bytes"},
		"gzip, allowed": {bomb, Options{MaxRatio: 1 << 20}, "none that can be read"},
	} {
		c.o.TempDir = t.TempDir()
		path := "-"
		if c.content != "" {
			path = write(t, "x", c.content)
		}
		_, _, err := File(t.Context(), path, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if left, err := os.ReadDir(c.o.TempDir); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind %v, %v", name, left, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := File(ctx, write(t, "x", bomb), Options{TempDir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestRealFiles opens one file of each format that the samples have.
func TestRealFiles(t *testing.T) {
	for _, c := range []struct{ folder, file, format string }{
		{"cityjson-samples", "rotterdam/3-20-DELFSHAVEN.city.json", "CityJSON 2.0"}, {"cityjson-samples", "vienna/vienna.city.jsonl", "CityJSONSeq"},
		{"plateau-citygml", "64413325_bldg_6697_op.gml", "CityGML 2.0"}, {"suzhou-boundary-npm", "suzhou-districts.geojson", "GeoJSON"},
	} {
		path := filepath.Join(testkit.DataDir(t, c.folder), c.file)
		r, done, err := File(t.Context(), path, Options{TempDir: t.TempDir()})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		n := 0
		for o, err := range r.Objects() {
			if err != nil || o.ID == "" {
				t.Errorf("%s: %v %+v", path, err, o)
			}
			if n++; n == 3 {
				break
			}
		}
		if format := r.Info().Format; !strings.HasPrefix(format, c.format) || n != 3 {
			t.Errorf("%s is %s with %d objects, want %s", path, format, n, c.format)
		}
		if err := done(); err != nil {
			t.Error(err)
		}
	}
}

func FuzzFile(f *testing.F) {
	for _, s := range []string{collection, cityJSON, cityGML, kmlText, csvText, gz(f, collection), archive(f, "a.kml", kmlText)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o := Options{TempDir: t.TempDir(), MaxUnpacked: 1 << 20}
		o.Limits = citymodel.Limits{Vertices: 10_000, ObjectPoints: 1000, RecordBytes: 100_000, ValueBytes: 10_000, Depth: 20}
		r, done, err := File(t.Context(), write(t, "x", string(b)), o)
		if err != nil {
			return
		}
		for _, err := range r.Objects() {
			if err != nil {
				break
			}
		}
		if err := done(); err != nil {
			t.Error(err)
		}
	})
}

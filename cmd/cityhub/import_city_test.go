package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/cityimport"
	"cityhub/spatial/store"
	"cityhub/spatial/store/gpkg"
	"cityhub/twin"
	"cityhub/twin/registry"
)

// The tests of this file run the real program, or the command in this process,
// as a planner would.

const (
	cityV1 = `{"type":"FeatureCollection","features":[
{"type":"Feature","id":"a","properties":{"name":"北寺塔","height":76},"geometry":{"type":"Polygon","coordinates":[[[120.6153,31.3245],[120.6155,31.3245],[120.6155,31.3247],[120.6153,31.3247],[120.6153,31.3245]]]}},
{"type":"Feature","id":"b","properties":{"name":"耦园"},"geometry":{"type":"Polygon","coordinates":[[[120.6340,31.3183],[120.6342,31.3183],[120.6342,31.3185],[120.6340,31.3185],[120.6340,31.3183]]]}}
]}`
	// b is another, c is new, a is as it was
	cityV2 = `{"type":"FeatureCollection","features":[
{"type":"Feature","id":"b","properties":{"name":"耦园","era":"清"},"geometry":{"type":"Polygon","coordinates":[[[120.6340,31.3183],[120.6342,31.3183],[120.6342,31.3185],[120.6340,31.3185],[120.6340,31.3183]]]}},
{"type":"Feature","id":"c","properties":{"name":"怡园"},"geometry":{"type":"Polygon","coordinates":[[[120.6170,31.3096],[120.6172,31.3096],[120.6172,31.3098],[120.6170,31.3098],[120.6170,31.3096]]]}}
]}`
	cityBad = `{"type":"FeatureCollection","features":[
{"type":"Feature","id":"d","properties":{},"geometry":{"type":"Point","coordinates":[120.6,31.3]}},
{"type":"Feature","id":"e","properties":{},"geometry":{"type":"Point","coordinates":[120.6,NaN]}}
]}`
)

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// cityhub runs the built program and expects the exit status.
func cityhub(t *testing.T, status int, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testkit.BuildBinary(t), args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Fatalf("cityhub %v: exit status %d, want %d\n%s%s", args, got, status, out.String(), errOut.String())
	}
	return out.String(), errOut.String()
}

func reportOf(t *testing.T, stdout string) *cityimport.Report {
	t.Helper()
	var e cityimport.Event
	if err := json.Unmarshal([]byte(stdout), &e); err != nil || e.Report == nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	return e.Report
}

// TestImportCity: import, again, a changed file, a dry run, a complete one, a bad
// one; the versions of the past stay, and the catalogue knows the data set.
func TestImportCity(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	v1, v2, bad := writeFile(t, "old-town.geojson", cityV1), writeFile(t, "v2.geojson", cityV2), writeFile(t, "bad.geojson", cityBad)
	base := []string{"import", "city", "--data", data, "--dataset", "old-town", "--class", "building", "--json"}
	with := func(args ...string) []string { return append(append([]string{}, base...), args...) }

	out, _ := cityhub(t, 0, with(v1, "--dry-run")...)
	if r := reportOf(t, out); r.Stored || r.Added != 2 {
		t.Errorf("dry run: %+v", r)
	}
	out, _ = cityhub(t, 0, with(v1, "--owner", "苏州市自然资源和规划局", "--title", "古城建筑", "--open", "conditional", "--level", "CIM3")...)
	if r := reportOf(t, out); !r.Stored || r.Added != 2 || r.CIMLevels["CIM3"] != 2 {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(out, "old-town is new in the catalogue") || strings.Contains(out, "--owner") || strings.Contains(out, "only operators") {
		t.Errorf("note: %s", out)
	}
	out, errOut := cityhub(t, 0, with(v1, "--level", "3")...)
	if r := reportOf(t, out); r.Unchanged != 2 || r.Added+r.Updated+r.Ended != 0 || errOut != "" {
		t.Errorf("again: %+v, %s", r, errOut)
	}
	time.Sleep(10 * time.Millisecond) // the versions' times differ
	out, _ = cityhub(t, 0, with(v2, "--level", "3", "--dry-run", "--complete")...)
	if r := reportOf(t, out); r.Stored || r.Added != 1 || r.Updated != 1 || r.Ended != 1 {
		t.Errorf("dry run of the change: %+v", r)
	}
	out, _ = cityhub(t, 0, with(v2, "--level", "3")...)
	if r := reportOf(t, out); r.Added != 1 || r.Updated != 1 || r.Ended != 0 {
		t.Errorf("change: %+v", r)
	}
	_, errOut = cityhub(t, 1, with(bad, "--complete")...)
	if !strings.Contains(errOut, "bad.geojson:3") || !strings.Contains(errOut, "found 'N'") || !strings.Contains(errOut, "nothing was stored") {
		t.Errorf("bad file: %s", errOut)
	}
	time.Sleep(10 * time.Millisecond)
	out, _ = cityhub(t, 0, with(v2, "--level", "3", "--complete")...)
	if r := reportOf(t, out); r.Unchanged != 2 || r.Ended != 1 {
		t.Errorf("complete: %+v", r)
	}

	s, err := gpkg.Open(t.Context(), gpkg.Options{Path: filepath.Join(data, cityFile)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for id, want := range map[string]struct {
		versions int
		valid    bool
	}{"a": {1, false}, "b": {2, true}, "c": {1, true}} {
		v, err := s.Versions(t.Context(), store.Key{Dataset: "old-town", ID: id})
		if err != nil || len(v) != want.versions || v[len(v)-1].ValidTo.IsZero() != want.valid {
			t.Errorf("%s: %d versions, %v", id, len(v), err)
		}
	}
	for _, id := range []string{"d", "e"} {
		if _, err := s.Get(t.Context(), store.Key{Dataset: "old-town", ID: id}, time.Time{}); err == nil {
			t.Errorf("%s of the bad file is there", id)
		}
	}
	r, err := registry.Open(t.Context(), registry.Options{Path: filepath.Join(data, "registry.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d, err := r.DatasetByCode(t.Context(), "old-town")
	if err != nil || d.Title != "古城建筑" || d.Owner != "苏州市自然资源和规划局" || d.Open != twin.OpenConditional {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestImportCityForPeople: what stands on the terminal, and the file of findings.
func TestImportCityForPeople(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	file := writeFile(t, "garden.geojson", strings.Replace(cityV1, "[120.6155,31.3245],", "[120.6155,31.3245],[120.6155,31.3245],", 1))
	findings := filepath.Join(t.TempDir(), "findings.csv")
	out, errOut := cityhub(t, 0, "import", "city", file, "--data", data, "--class", "building", "--report", findings)
	for _, want := range []string{
		"garden.geojson: GeoJSON, ", "2 objects", "2 added, 0 updated, 0 unchanged, 0 ended, in data set garden", "building 2", "not stated 2", "LoD0 2",
		"120.615300, 31.318300 to 120.634200, 31.324700", "EPSG:4326", "1 object mended", "consecutive-points-same (102)", "line 2: a: geometry[0]",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for _, want := range []string{"only operators see it", "--open", "--owner"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("no %q in\n%s", want, errOut)
		}
	}
	b, err := os.ReadFile(findings)
	if want := "action,severity,code,iso19107,file,line,object,field,message\nrepaired,warning,consecutive-points-same,102," + file + ",2,a,"; err != nil || !strings.HasPrefix(string(b), want) {
		t.Errorf("%v: %s", err, b)
	}
	findings = filepath.Join(t.TempDir(), "findings.json")
	cityhub(t, 0, "import", "city", file, "--data", data, "--class", "building", "--report", findings)
	var doc struct {
		Findings []cityimport.Finding
		Reports  []cityimport.Report
	}
	b, err = os.ReadFile(findings)
	if err == nil {
		err = json.Unmarshal(b, &doc)
	}
	if err != nil || len(doc.Findings) != 1 || doc.Findings[0].ISO19107 != 102 || len(doc.Reports) != 1 || doc.Reports[0].Unchanged != 2 {
		t.Errorf("%v: %s", err, b)
	}

	for _, c := range []struct {
		status int
		want   string
		args   []string
	}{
		{1, "--class building", []string{file, "--data", data}},
		{1, "no-such-file.gml", []string{"no-such-file.gml", "--data", data}},
		{1, "EPSG:99999", []string{file, "--data", data, "--class", "building", "--crs", "EPSG:99999"}},
		{1, "GCJ-02", []string{file, "--data", data, "--class", "building", "--crs", "GCJ-02"}},
		{1, "CIM8", []string{file, "--data", data, "--class", "building", "--level", "CIM8"}},
		{1, "exclude", []string{file, "--data", data, "--server", "http://127.0.0.1:1"}},
		{1, ".json or .csv", []string{file, "--data", data, "--class", "building", "--report", "x.txt"}},
		{2, "--class", []string{file, "--data", data, "--class", "house"}},
	} {
		if _, errOut := cityhub(t, c.status, append([]string{"import", "city"}, c.args...)...); !strings.Contains(errOut, c.want) {
			t.Errorf("%v: no %q in\n%s", c.args, c.want, errOut)
		}
	}
}

// TestImportCityFiles: several files of one data set are one import.
func TestImportCityFiles(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	a, b, bad := writeFile(t, "a.geojson", strings.ReplaceAll(cityV1, `"id":"`, `"id":"1-`)), writeFile(t, "b.geojson", cityV2), writeFile(t, "c.geojson", cityBad)
	_, errOut := cityhub(t, 1, "import", "city", a, b, bad, "--data", data, "--dataset", "all", "--class", "building")
	if !strings.Contains(errOut, "c.geojson:3") {
		t.Error(errOut)
	}
	out, _ := cityhub(t, 0, "import", "city", a, b, "--data", data, "--dataset", "all", "--class", "building", "--complete", "--json")
	if r := reportOf(t, out); r.Added != 4 || len(r.Sources) != 2 || r.Sources[1].Objects != 2 {
		t.Errorf("%+v", r)
	}
	out, _ = cityhub(t, 0, "import", "city", a, b, "--data", data, "--class", "building", "--json")
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if r := reportOf(t, line); r.Dataset != []string{"a", "b"}[i] || r.Added != 2 {
			t.Errorf("%+v", r)
		}
	}
}

// TestImportCityIntoRunningHub speaks to the hub's route.
func TestImportCityIntoRunningHub(t *testing.T) {
	s, err := gpkg.Open(t.Context(), gpkg.Options{Path: filepath.Join(t.TempDir(), cityFile)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	reg, err := registry.Open(t.Context(), registry.Options{Path: filepath.Join(t.TempDir(), "registry.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	handler, err := cityimport.NewHandler(cityimport.HandlerOptions{
		Importer: func(r *http.Request) (cityimport.Importer, error) {
			if r.Header.Get("Authorization") != "Bearer secret" {
				return nil, &city.Error{Code: city.Unauthorized, Message: "operators only"}
			}
			return s, nil
		},
		Problem: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			_ = json.NewEncoder(w).Encode(map[string]string{"title": "refused", "detail": err.Error()})
		},
		Dir: t.TempDir(), Catalogue: cityCatalogue{reg},
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(cityimport.Path, handler)
	srv := httptest.NewServer(mux)
	defer srv.Close()
	command := func(status int, args ...string) (string, string) {
		t.Helper()
		var out, errOut bytes.Buffer
		if got := run(append([]string{"import", "city", "--server", srv.URL}, args...), &output{&out, &errOut}); got != status {
			t.Fatalf("exit status %d, want %d: %s%s", got, status, out.String(), errOut.String())
		}
		return out.String(), errOut.String()
	}
	v1, bad := writeFile(t, "old-town.geojson", cityV1), writeFile(t, "bad.geojson", cityBad)
	if _, errOut := command(1, v1, "--class", "building", "--token", "wrong"); !strings.Contains(errOut, "operators only") {
		t.Error(errOut)
	}
	findings := filepath.Join(t.TempDir(), "f.csv")
	out, errOut := command(0, v1, "--class", "building", "--token", "secret", "--report", findings)
	if !strings.Contains(out, "2 added") || !strings.Contains(out, "old-town.geojson: GeoJSON") || !strings.Contains(errOut, "new in the catalogue") {
		t.Errorf("%s%s", out, errOut)
	}
	out, _ = command(0, v1, "--class", "building", "--token", "secret", "--json")
	if r := reportOf(t, out); r.Unchanged != 2 {
		t.Errorf("%+v", r)
	}
	if _, errOut := command(1, bad, "--class", "building", "--token", "secret"); !strings.Contains(errOut, "bad.geojson:3") || !strings.Contains(errOut, "nothing was stored") {
		t.Error(errOut)
	}
	if n, err := s.Count(t.Context(), store.Query{Class: spatial.ClassBuilding}); err != nil || n != 2 {
		t.Errorf("%d objects, %v", n, err)
	}
	if _, err := reg.DatasetByCode(t.Context(), "bad"); twin.ErrorCode(err) != twin.CodeNotFound {
		t.Errorf("a refused data set is in the catalogue: %v", err)
	}
}

// Who stops an import into a running hub is not told that the hub broke it off.
func TestImportCityStoppedByItsUser(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		stop()
		<-r.Context().Done()
	}))
	defer srv.Close()
	file := writeFile(t, "a.geojson", quarter("road"))
	cmd := importCityCmd{target: target{Server: srv.URL}, Files: []string{file}, Class: "road", Repair: "safe"}
	err := cmd.Run(ctx, &output{out: io.Discard, err: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "stopped; the hub stores nothing") {
		t.Errorf("%v", err)
	}
}

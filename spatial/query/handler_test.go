package query

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"cityhub/spatial/city"
	"cityhub/spatial/store"
)

func upstreamOf(t *testing.T, from int64, r Reached) Upstream {
	return func(_ context.Context, _ *city.View, positions []int64, metres float64) ([]Reached, error) {
		if !slices.Equal(positions, []int64{from}) || metres != 500 {
			t.Errorf("upstream of %v, %v m", positions, metres)
		}
		return []Reached{r}, nil
	}
}

// kept is Saved in memory.
type kept struct {
	sync.Mutex
	all map[string]Question
}

func (k *kept) Put(_ context.Context, q Question) error {
	k.Lock()
	defer k.Unlock()
	k.all[q.ID] = q
	return nil
}

func (k *kept) Get(_ context.Context, id string) (Question, bool, error) {
	k.Lock()
	defer k.Unlock()
	q, ok := k.all[id]
	return q, ok, nil
}

func (k *kept) List(_ context.Context, c Caller, after string, limit int) ([]Question, error) {
	k.Lock()
	defer k.Unlock()
	var out []Question
	for _, id := range slices.Sorted(maps.Keys(k.all)) {
		if q := k.all[id]; id > after && c.Sees(&q) && len(out) < limit {
			out = append(out, q)
		}
	}
	return out, nil
}

func (k *kept) Delete(_ context.Context, id string) error {
	k.Lock()
	defer k.Unlock()
	delete(k.all, id)
	return nil
}

// without is a store that hides a data set.
type without struct {
	store.Reader
	hidden string
}

func (w without) Query(ctx context.Context, q store.Query) (store.Page, error) {
	keep := q.Keep
	q.Keep = func(v *store.Version) (bool, error) {
		if v.Dataset == w.hidden {
			return false, nil
		}
		if keep != nil {
			return keep(v)
		}
		return true, nil
	}
	return w.Reader.Query(ctx, q)
}

func (w without) Get(ctx context.Context, k store.Key, at time.Time) (*store.Version, error) {
	if k.Dataset == w.hidden {
		return nil, &store.Error{Code: store.NotFound}
	}
	return w.Reader.Get(ctx, k, at)
}

// byToken shows all to "alice", and "bob" and others all but the pipes.
type byToken struct{ all, some *city.View }

func (b byToken) City(r *http.Request) (*city.View, error) {
	if r.Header.Get("Authorization") == "alice" {
		return b.all, nil
	}
	return b.some, nil
}

func problem(w http.ResponseWriter, _ *http.Request, err error) {
	status, field, hint := 500, "", ""
	var e *city.Error
	if errors.As(err, &e) {
		field, hint = e.Field, e.Hint
		status = map[city.Code]int{city.Invalid: 400, city.NotFound: 404, city.Unauthorized: 401, city.Forbidden: 403, city.TooLarge: 413, city.NotAcceptable: 406, city.Unavailable: 503}[e.Code]
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"field": field, "detail": err.Error(), "hint": hint})
}

// serve is the handler on a server, with a city of which some is hidden.
func serve(t *testing.T, change func(*Options)) (*httptest.Server, *kept) {
	t.Helper()
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	all, s := street(t, now)
	hidden := without{s, "pipes"}
	saved := &kept{all: map[string]Question{}}
	o := Options{
		Gate: byToken{all, &city.View{Store: hidden, Index: scanOf(t, hidden), Observed: all.Observed}}, Problem: problem, Saved: saved, TempDir: t.TempDir(), Now: func() time.Time { return now },
		Who: func(r *http.Request) Caller {
			return Caller{Name: r.Header.Get("Authorization"), Manage: r.Header.Get("Authorization") == "root"}
		},
		BaseURL: func(r *http.Request) string { return "http://" + r.Host },
	}
	if change != nil {
		change(&o)
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		srv.Close()
		http.DefaultClient.CloseIdleConnections()
		if left, err := os.ReadDir(o.TempDir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return srv, saved
}

func call(t *testing.T, method, url, who, body string) (int, http.Header, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if who != "" {
		r.Header.Set("Authorization", who)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, b
}

const exceedance = `{"kind":"pipeline","output":"all","steps":[{"observed":{"property":"noise","op":">","value":70,"time":{"last":"PT1H"}}},{"within":{"metres":50,"select":{"collection":"roads"}}},{"below":{"select":{"collection":"underground"}}}]}`

type features struct {
	Features []struct {
		Properties map[string]any
		Geometry   json.RawMessage
	}
	NumberReturned int
	TimeZone       string
}

func decode(t *testing.T, b []byte) features {
	t.Helper()
	var f features
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return f
}

// TestFormats: the same rows in every format (苏州市数据条例 第三十条; R38).
func TestFormats(t *testing.T) {
	srv, _ := serve(t, nil)
	_, header, b := call(t, "POST", srv.URL+Path+"/query", "alice", exceedance)
	f := decode(t, b)
	if f.NumberReturned != 4 || f.TimeZone != "Asia/Shanghai" || header.Get("Content-Type") != "application/geo+json" || !strings.Contains(header.Get("Vary"), "Authorization") || !strings.HasPrefix(header.Get("Cache-Control"), "private") {
		t.Errorf("%v %s", header, b)
	}
	_, header, b = call(t, "POST", srv.URL+Path+"/query?f=csv&geometry=lonlat&bom=true", "alice", exceedance)
	records, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\ufeff")))).ReadAll()
	if err != nil || len(records) != 5 || !strings.HasPrefix(header.Get("Content-Type"), "text/csv") {
		t.Fatalf("%v %v %v", records, err, header)
	}
	for i, rec := range records[1:] {
		if want := f.Features[i].Properties["key"]; rec[1] != want {
			t.Errorf("%d: %v, want %v", i, rec[1], want)
		}
	}
	_, _, b = call(t, "POST", srv.URL+Path+"/query?f=geoparquet&crs=EPSG:4549", "alice", exceedance)
	p, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil || p.NumRows() != 4 {
		t.Fatalf("%v", err)
	}
	_, header, b = call(t, "POST", srv.URL+Path+"/query?f=gpkg", "alice", exceedance)
	if !bytes.HasPrefix(b, []byte("SQLite format 3\x00")) || header.Get("Content-Disposition") != `attachment; filename="answer-pipeline.gpkg"` {
		t.Errorf("%v %.20s", header, b)
	}
}

// TestAccept: the media type by f, else by Accept.
func TestAccept(t *testing.T) {
	for accept, want := range map[string]string{
		"": "geojson", "*/*": "geojson", "text/csv": "csv", "text/html, text/csv;q=0.5": "csv", "application/json;q=0.1, application/vnd.apache.parquet": "geoparquet",
		"application/geopackage+sqlite3": "gpkg", "application/x-ndjson": "ndjson", "text/html": "", "text/csv;q=0": "",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		if got, _ := format(r, params{}); string(got) != want {
			t.Errorf("%q: %q, want %q", accept, got, want)
		}
	}
}

// TestRights: what the caller may not see is in no answer and no count, and a
// saved question is answered with the view of who runs it.
func TestRights(t *testing.T) {
	srv, _ := serve(t, nil)
	for who, n := range map[string]int{"alice": 4, "bob": 2, "": 2} {
		_, _, b := call(t, "POST", srv.URL+Path+"/query", who, exceedance)
		if f := decode(t, b); f.NumberReturned != n {
			t.Errorf("%q: %d rows, want %d", who, f.NumberReturned, n)
		}
	}
	save := func(who, visibility string) (int, string) {
		status, _, b := call(t, "POST", srv.URL+Path+"/questions", who, `{"name":"噪声","nameEn":"Noise","visibility":"`+visibility+`","document":`+exceedance+`}`)
		var q Question
		_ = json.Unmarshal(b, &q)
		return status, q.ID
	}
	if status, _ := save("", "public"); status != 401 {
		t.Errorf("nobody saves: %d", status)
	}
	ids := map[string]string{}
	for _, v := range []string{"private", "shared", "public"} {
		status, id := save("alice", v)
		if status != 201 || id == "" {
			t.Fatal(status)
		}
		ids[v] = id
	}
	for _, c := range []struct {
		who, visibility string
		status, rows    int
	}{
		{"alice", "private", 200, 4}, {"bob", "private", 404, 0}, {"", "private", 404, 0}, {"root", "private", 200, 2},
		{"bob", "shared", 200, 2}, {"", "shared", 404, 0}, {"bob", "public", 200, 2}, {"", "public", 200, 2},
	} {
		status, _, b := call(t, "GET", srv.URL+Path+"/questions/"+ids[c.visibility]+"/run", c.who, "")
		if status != c.status || status == 200 && decode(t, b).NumberReturned != c.rows {
			t.Errorf("%q runs %s: %d %s", c.who, c.visibility, status, b)
		}
		if status, _, _ := call(t, "GET", srv.URL+Path+"/questions/"+ids[c.visibility], c.who, ""); status != c.status {
			t.Errorf("%q reads %s: %d", c.who, c.visibility, status)
		}
	}
	for who, n := range map[string]int{"alice": 3, "bob": 2, "": 1, "root": 3} {
		_, _, b := call(t, "GET", srv.URL+Path+"/questions", who, "")
		var list struct{ Questions []Question }
		if err := json.Unmarshal(b, &list); err != nil || len(list.Questions) != n {
			t.Errorf("%q sees %d, want %d", who, len(list.Questions), n)
		}
	}
	body := `{"name":"新","visibility":"public","document":` + exceedance + `}`
	for _, c := range []struct {
		method, who, id string
		status          int
	}{
		{"PUT", "bob", ids["public"], 403}, {"DELETE", "bob", ids["public"], 403}, {"DELETE", "", ids["public"], 401}, {"PUT", "bob", ids["private"], 404},
		{"PUT", "alice", ids["private"], 200}, {"DELETE", "alice", ids["shared"], 204}, {"DELETE", "root", ids["public"], 204}, {"GET", "alice", ids["public"], 404}, {"GET", "bob", ids["private"], 200},
	} {
		if status, _, b := call(t, c.method, srv.URL+Path+"/questions/"+c.id, c.who, body); status != c.status {
			t.Errorf("%s by %q: %d, want %d: %s", c.method, c.who, status, c.status, b)
		}
	}
	_, _, b := call(t, "GET", srv.URL+Path+"/questions?limit=1&after=", "alice", "")
	if !bytes.Contains(b, []byte(`"name":"新"`)) {
		t.Errorf("%s", b)
	}
}

// TestDownload: all that the caller may see, in each format the same.
func TestDownload(t *testing.T) {
	srv, _ := serve(t, nil)
	for who, n := range map[string]int{"alice": 3, "bob": 0} {
		for _, f := range []string{"geojson", "csv", "geoparquet"} {
			status, _, b := call(t, "GET", srv.URL+Path+"/download/underground?f="+f, who, "")
			got := -1
			switch f {
			case "geojson":
				got = decode(t, b).NumberReturned
			case "csv":
				records, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
				if err != nil {
					t.Fatal(err)
				}
				got = len(records) - 1
			default:
				p, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
				if err != nil {
					t.Fatal(err)
				}
				got = int(p.NumRows())
			}
			if status != 200 || got != n {
				t.Errorf("%q %s: %d, %d rows, want %d", who, f, status, got, n)
			}
		}
	}
	for path, n := range map[string]int{
		"roads?bbox=120.6,31.299,120.7,31.3009": 2, "roads?filter=" + url.QueryEscape("lanes > 3"): 1, "terminals": 3, "terminals?filter=" + url.QueryEscape("code = 'n2'"): 1, "others": 0, "roads?datetime=2001-01-01T00:00:00Z": 0,
		"roads?filter-lang=cql2-json&filter=" + url.QueryEscape(`{"op":"like","args":[{"property":"id"},"r%"]}`): 2,
	} {
		if status, _, b := call(t, "GET", srv.URL+Path+"/download/"+path, "alice", ""); status != 200 || decode(t, b).NumberReturned != n {
			t.Errorf("%s: %d, want %d rows: %s", path, status, n, b)
		}
	}
	for path, want := range map[string]string{
		"nothing": "404 collection", "roads?x=1": "400 x", "roads?bbox=1,2,3": "400 bbox", "roads?bbox=a,2,3,4": "400 bbox", "roads?filter=a+%3D": "400 filter", "roads?filter=geometry+%3D+1": "400 filter",
		"roads?f=xlsx": "400 f", "roads?crs=EPSG:4549": "406 crs", "roads?f=csv&crs=EPSG:28992": "406 crs", "roads?crs=EPSG:1": "400 crs", "roads?datetime=now": "400 datetime",
		"roads?property=x": "400 property", "roads?geometry=svg": "400 geometry", "roads?bom=1": "400 bom", "roads?f=csv&f=csv": "400 f", "roads?f=ndjson": "406 f", "roads?filter-lang=sql&filter=x": "400 filter-lang",
	} {
		status, _, b := call(t, "GET", srv.URL+Path+"/download/"+path, "alice", "")
		var p struct{ Field string }
		if err := json.Unmarshal(b, &p); err != nil || fmt.Sprint(status, " ", p.Field) != want {
			t.Errorf("%s: %d %s, want %s", path, status, b, want)
		}
	}
}

// TestSimple: questions in the parameters.
func TestSimple(t *testing.T) {
	srv, _ := serve(t, nil)
	for query, n := range map[string]int{
		"kind=within&collection=roads&metres=30.5&point=120.60105,31.30036":                                     1,
		"kind=nearest&collection=terminals&k=2&point=120.6,31.3":                                                2,
		"kind=zonal&zones=grid:1000&bbox=120.6,31.3,120.605,31.301&property=noise&last=PT2H&statistics=max,p50": 1,
		"q=" + url.QueryEscape(exceedance):                                                                      4,
	} {
		if status, _, b := call(t, "GET", srv.URL+Path+"/query?"+query, "alice", ""); status != 200 || decode(t, b).NumberReturned != n {
			t.Errorf("%s: %d %s, want %d rows", query, status, b, n)
		}
	}
	for query, field := range map[string]string{"": "kind", "kind=pipeline": "kind", "q={}&kind=zonal": "kind", "kind=nearest&point=1&collection=roads": "/of/geometry", "kind=within&point=1,2&collection=roads&metres=x": "/metres", "kind=zonal&zones=grid:x&property=p&last=PT1H": "/zones/metres"} {
		status, _, b := call(t, "GET", srv.URL+Path+"/query?"+query, "alice", "")
		var p struct{ Field string }
		if err := json.Unmarshal(b, &p); err != nil || status != 400 || p.Field != field {
			t.Errorf("%s: %d %s, want the field %s", query, status, b, field)
		}
	}
	for method, path := range map[string]string{"PATCH": "/query", "PUT": "/schema"} {
		if status, h, _ := call(t, method, srv.URL+Path+path, "", ""); status != 405 || h.Get("Allow") == "" {
			t.Errorf("%s %s: %d", method, path, status)
		}
	}
	if status, _, _ := call(t, "GET", srv.URL+Path+"/x", "", ""); status != 404 {
		t.Error(status)
	}
	for _, path := range []string{"/schema", "/openapi.json"} {
		if status, _, b := call(t, "GET", srv.URL+Path+path, "", ""); status != 200 || !json.Valid(b) {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// TestLines: progress, features, end; and an error in the last line.
func TestLines(t *testing.T) {
	srv, _ := serve(t, nil)
	types := func(doc string) string {
		_, _, b := call(t, "POST", srv.URL+Path+"/query?f=ndjson", "alice", doc)
		out := ""
		for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
			var l struct{ Type, Field string }
			if err := json.Unmarshal(s.Bytes(), &l); err != nil {
				t.Fatal(err)
			}
			if l.Type != "Progress" {
				out += l.Type + l.Field + " "
			} else if !strings.HasPrefix(out, "Progress") {
				out = "Progress " + out
			}
		}
		return out
	}
	if got := types(exceedance); got != "Progress Feature Feature Feature Feature End " {
		t.Error(got)
	}
	if got := types(`{"kind":"zonal","zones":{"type":"grid","metres":1,"bbox":[1,1,9,9]},"observations":{"property":"noise"},"time":{"last":"PT1H"}}`); got != "Progress Error/zones " {
		t.Error(got)
	}
}

// TestCancel: when the client goes, the reading of observations ends.
func TestCancel(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	var once, twice sync.Once
	srv, _ := serve(t, func(o *Options) {
		view := *o.Gate.(byToken).all
		view.Observed = stalled{view.Observed, func(ctx context.Context) error {
			once.Do(func() { close(began) })
			<-ctx.Done()
			twice.Do(func() { close(ended) })
			return ctx.Err()
		}}
		o.Gate = shown{&view}
	})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", srv.URL+Path+"/query", strings.NewReader(exceedance))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		res, err := http.DefaultClient.Do(r)
		if err == nil {
			err = res.Body.Close()
		}
		done <- err
	}()
	<-began
	cancel()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the question is still being answered")
	}
	if err := <-done; err == nil {
		t.Error("an answer came")
	}
}

// stalled is observations whose readings never come.
type stalled struct {
	city.Observed
	wait func(context.Context) error
}

func (s stalled) Range(ctx context.Context, _ *city.Datastream, _, _ time.Time, _ func(city.Reading) bool) error {
	return s.wait(ctx)
}

// TestPointers: errors name the place in the document.
func TestPointers(t *testing.T) {
	zonal := func(more string) string {
		return `{"kind":"zonal","zones":{"type":"districts"},"observations":{"property":"x"},"time":{"last":"PT1H"}` + more + `}`
	}
	sel := `"of":{"geometry":{"type":"Point","coordinates":[1,2]}},"select":`
	for doc, field := range map[string]string{
		``: "body", `{} {}`: "body", `[]`: "/", `{"kind":"x"}`: "/kind", `{}`: "/kind", `{"kind":"zonal"}`: "/time",
		zonal(`,"extra~/":1`):                  "/extra~0~1",
		zonal(`,"statistics":["mean","mode"]`): "/statistics/1",
		zonal(`,"statistics":["p101"]`):        "/statistics/0",
		zonal(`,"statistics":["mean","mean"]`): "/statistics/1",
		zonal(`,"statistics":[]`):              "/statistics",
		zonal(`,"maxGap":"P1M"`):               "/maxGap",
		zonal(`,"timeWeighted":1`):             "/timeWeighted",
		`{"kind":"zonal","zones":{"type":"grid"},"observations":{"property":"x"},"time":{"last":"PT1H"}}`:                                                                  "/zones/metres",
		`{"kind":"zonal","zones":{"type":"grid","metres":5,"level":3},"observations":{"property":"x"},"time":{"last":"PT1H"}}`:                                             "/zones/level",
		`{"kind":"zonal","zones":{"type":"grid","metres":5,"bbox":[1,2,3]},"observations":{"property":"x"},"time":{"last":"PT1H"}}`:                                        "/zones/bbox",
		`{"kind":"zonal","zones":{"type":"grid","metres":5,"bbox":[1,95,3,96]},"observations":{"property":"x"},"time":{"last":"PT1H"}}`:                                    "/zones/bbox/1",
		`{"kind":"zonal","zones":{"type":"districts"},"observations":{},"time":{"last":"PT1H"}}`:                                                                           "/observations/property",
		`{"kind":"zonal","zones":{"type":"districts"},"observations":{"property":"x","quality":["fine"]},"time":{"last":"PT1H"}}`:                                          "/observations/quality",
		`{"kind":"zonal","zones":{"type":"districts"},"observations":{"property":"x"},"time":{"last":"1h"}}`:                                                               "/time/last",
		`{"kind":"zonal","zones":{"type":"districts"},"observations":{"property":"x"},"time":{"from":"2026-02-30"}}`:                                                       "/time/from",
		`{"kind":"zonal","zones":{"type":"districts"},"observations":{"property":"x"},"time":{"from":"2026-02-03","to":"2026-02-03"}}`:                                     "/time",
		`{"kind":"zonal","zones":{"type":"districts"},"observations":{"property":"x"},"time":{"last":"PT1H","zone":"Suzhou"}}`:                                             "/time/zone",
		`{"kind":"nearest",` + sel + `{"collection":"streets"}}`:                                                                                                           "/select/collection",
		`{"kind":"nearest",` + sel + `{"collection":"roads"},"k":0}`:                                                                                                       "/k",
		`{"kind":"nearest",` + sel + `{"collection":"roads"},"k":1.5}`:                                                                                                     "/k",
		`{"kind":"nearest",` + sel + `{"collection":"roads","filter":"a ="}}`:                                                                                              "/select/filter",
		`{"kind":"nearest",` + sel + `{"collection":"roads","filter":{"op":"x"}}}`:                                                                                         "/select/filter",
		`{"kind":"nearest",` + sel + `{"collection":"roads","ids":["x"]}}`:                                                                                                 "/select/ids",
		`{"kind":"nearest",` + sel + `{"geometry":{"type":"Point","coordinates":[1,2]}}}`:                                                                                  "/select",
		`{"kind":"within",` + sel + `{"collection":"roads"}}`:                                                                                                              "/metres",
		`{"kind":"within","of":{"geometry":{"type":"Point","coordinates":[31.3,120.6]}},"select":{"collection":"roads"},"metres":1}`:                                       "/of/geometry",
		`{"kind":"within","of":{"geometry":{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[1,2]}]}},"select":{"collection":"roads"},"metres":1}`: "/of/geometry",
		`{"kind":"within","of":{"features":[{"type":"Point"}]},"select":{"collection":"roads"},"metres":1}`:                                                                "/of/features/0",
		`{"kind":"pipeline","steps":[]}`: "/steps",
		`{"kind":"pipeline","steps":[{"within":{"metres":1,"select":{"collection":"roads"}}}]}`:                           "/steps/0/within",
		`{"kind":"pipeline","steps":[{"select":{"collection":"roads"}},{"dig":{}}]}`:                                      "/steps/1/dig",
		`{"kind":"pipeline","steps":[{"select":{"collection":"roads"}},{"below":{"select":{"collection":"terminals"}}}]}`: "/steps/1/below/select",
		`{"kind":"pipeline","steps":[{"observed":{"property":"x","op":"=>","value":1,"time":{"last":"PT1H"}}}]}`:          "/steps/0/observed/op",
		`{"kind":"pipeline","steps":[{"observed":{"property":"x","op":">","value":"1","time":{"last":"PT1H"}}}]}`:         "/steps/0/observed/value",
		`{"kind":"change","select":{"collection":"roads"}}`:                                                               "/",
		`{"kind":"change","select":{"collection":"terminals"},"from":"2026-01-01"}`:                                       "/select",
		`{"kind":"change","of":"observations","before":{"last":"PT1H","every":"PT1M"},"after":{"last":"PT1H"}}`:           "/before/every",
	} {
		_, err := Parse([]byte(doc), Limits{})
		var e *city.Error
		if !errors.As(err, &e) || e.Field != field || e.Code != city.Invalid {
			t.Errorf("%s: %v, want the field %s", doc, err, field)
		}
	}
	var ring strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&ring, "[%d,%d],", i%170, i/20)
	}
	_, err := Parse([]byte(`{"kind":"within","metres":1,"select":{"collection":"roads"},"of":{"geometry":{"type":"LineString","coordinates":[`+ring.String()+`[1,1]]}}}`), Limits{Vertices: 100})
	if err == nil {
		t.Error("1,001 vertices of 100")
	}
}

// TestExamples: every example of the folder is a question.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("testdata/examples/*.json")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(b, Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchemaMembers: the schema and the reader know the same members: a document
// with every member that the schema has for its kind meets no unknown one.
func TestSchemaMembers(t *testing.T) {
	var schema struct {
		Defs map[string]struct {
			Properties map[string]json.RawMessage
		} `json:"$defs"`
	}
	if err := json.Unmarshal(SchemaJSON(), &schema); err != nil {
		t.Fatal(err)
	}
	for def, head := range map[string]string{"zonal": `"kind":"zonal"`, "nearest": `"kind":"nearest"`, "within": `"kind":"within"`, "pipeline": `"kind":"pipeline"`, "modelChange": `"kind":"change"`, "observedChange": `"kind":"change","of":"observations"`} {
		if len(schema.Defs[def].Properties) < 5 {
			t.Fatal(def)
		}
		doc := "{" + head
		for name := range schema.Defs[def].Properties {
			if name != "kind" && name != "of" {
				doc += `,"` + name + `":null`
			}
		}
		_, err := Parse([]byte(doc+"}"), Limits{})
		if err == nil || strings.Contains(err.Error(), "no such member") {
			t.Errorf("%s: %v", def, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/examples/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b, Limits{Vertices: 1000})
		if err != nil {
			var e *city.Error
			if !errors.As(err, &e) || e.Field == "" || len(e.Error()) > 100_000 {
				t.Errorf("%v", err)
			}
			return
		}
		for _, times := range []*Times{d.Times, d.Until} {
			if times != nil {
				windows, err := times.windows(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 1000, false)
				if err == nil && (len(windows) == 0 || len(windows) > 1000) {
					t.Errorf("%d windows", len(windows))
				}
			}
		}
		if z := d.Zones; z != nil && z.BBox != nil && z.Of == nil && (z.Type != "grid" || z.BBox.Max[0]-z.BBox.Min[0] <= maxGridDegrees && z.BBox.Max[1]-z.BBox.Min[1] <= maxGridDegrees) {
			if c := division(z, *z.BBox); c.columns < 1 || c.rows < 1 {
				t.Errorf("%d by %d cells", c.columns, c.rows)
			}
		}
	})
}

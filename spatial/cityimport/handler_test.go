package cityimport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

// entries is a Catalogue that remembers.
type entries struct {
	mu   sync.Mutex
	kept []Entry
	bad  string
}

func (e *entries) Check(_ context.Context, n Entry) error {
	if n.Owner == e.bad && e.bad != "" {
		return &city.Error{Code: city.Invalid, Field: "owner", Message: "bad"}
	}
	return nil
}

func (e *entries) Put(_ context.Context, n Entry) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kept = append(e.kept, n)
	return "new", nil
}

// serve starts the handler on a store; bearer "operator" may import.
func serve(t *testing.T, s Importer, change func(*HandlerOptions)) (*httptest.Server, *entries, string) {
	t.Helper()
	dir := t.TempDir()
	catalogue := &entries{bad: "nobody"}
	o := HandlerOptions{
		Importer: func(r *http.Request) (Importer, error) {
			switch r.Header.Get("Authorization") {
			case "Bearer operator":
				return s, nil
			case "":
				return nil, &city.Error{Code: city.Unauthorized, Message: "who asks?"}
			}
			return nil, &city.Error{Code: city.Forbidden, Message: "operators only"}
		},
		Problem: func(w http.ResponseWriter, _ *http.Request, err error) {
			status := http.StatusBadRequest
			var refused *city.Error
			if errors.As(err, &refused) {
				switch refused.Code {
				case city.Unauthorized:
					status = http.StatusUnauthorized
				case city.Forbidden:
					status = http.StatusForbidden
				case city.TooLarge:
					status = http.StatusRequestEntityTooLarge
				}
			}
			w.WriteHeader(status)
			fmt.Fprint(w, err)
		},
		Dir: dir, Catalogue: catalogue,
	}
	if change != nil {
		change(&o)
	}
	h, err := NewHandler(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		srv.Close()
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("%d uploads are left, %v", len(left), err)
		}
	})
	return srv, catalogue, dir
}

func send(t *testing.T, srv *httptest.Server, token, accept, query, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+Path+"?"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestHandler(t *testing.T) {
	s := openStore(t)
	srv, catalogue, _ := serve(t, s, func(o *HandlerOptions) { o.MaxBytes = 1 << 20 })
	good := collection(feature("a", polygon(square)), feature("b", polygon(bowTie)))
	const query = "file=good.geojson&class=building&owner=x&open=conditional"

	for name, c := range map[string]struct {
		token, query, body string
		status             int
		contains           string
	}{
		"nobody":       {"", query, good, 401, "who asks"},
		"no operator":  {"visitor", query, good, 403, "operators"},
		"parameter":    {"operator", query + "&colour=red", good, 400, `"colour"`},
		"class":        {"operator", "file=x.geojson&class=houses", good, 400, "houses"},
		"crs":          {"operator", query + "&crs=EPSG:99999", good, 400, "99999"},
		"level":        {"operator", query + "&level=CIM9", good, 400, "CIM9"},
		"flag":         {"operator", query + "&dryRun=perhaps", good, 400, "perhaps"},
		"no data set":  {"operator", "file=河.json&class=water", good, 400, "dataset"},
		"bad entry":    {"operator", "file=x.geojson&class=building&owner=nobody", good, 400, "bad"},
		"too large":    {"operator", query, good + strings.Repeat(" ", 1<<20), 413, "larger"},
		"empty":        {"operator", query, "", 400, "empty"},
		"no model":     {"operator", query, "hello", 400, "good.geojson:1: expected an object"},
		"a fault":      {"operator", query + "&strict=true", good, 400, "good.geojson:3"},
		"another file": {"operator", "file=..%2F..%2Fetc%2Fpasswd&dataset=x&class=building", "hello", 400, "the format is none that can be read"},
	} {
		if status, body := send(t, srv, c.token, "", c.query, c.body); status != c.status || !strings.Contains(body, c.contains) {
			t.Errorf("%s: %d %s; want %d with %s", name, status, body, c.status, c.contains)
		}
	}
	if n := total(t, s); n != 0 || len(catalogue.kept) != 0 {
		t.Fatalf("%d objects, %d entries after refusals", n, len(catalogue.kept))
	}
	if resp, err := srv.Client().Get(srv.URL + Path); err != nil || resp.StatusCode != 400 || resp.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}

	status, body := send(t, srv, "operator", "", query+"&dryRun=true", good)
	var e Event
	if err := json.Unmarshal([]byte(body), &e); err != nil || status != 200 || e.Report == nil || e.Report.Stored || e.Report.Added != 2 || e.Note != "" || total(t, s) != 0 {
		t.Errorf("dry run: %d %s %v", status, body, err)
	}
	status, body = send(t, srv, "operator", "", query, good)
	e = Event{}
	if err := json.Unmarshal([]byte(body), &e); err != nil || status != 200 || e.Report == nil || !e.Report.Stored || e.Report.Added != 2 || e.Report.Dataset != "good" || e.Report.Flagged != 1 || e.Note != "new" || total(t, s) != 2 {
		t.Errorf("%d %s %v", status, body, err)
	}
	if want := (Entry{Code: "good", Owner: "x", Open: "conditional"}); len(catalogue.kept) != 1 || catalogue.kept[0] != want {
		t.Errorf("entries %+v", catalogue.kept)
	}
}

func TestHandlerStreams(t *testing.T) {
	s := openStore(t)
	srv, _, _ := serve(t, s, nil)
	for _, c := range []struct {
		query  string
		failed bool
	}{{"file=x.geojson&class=building&findings=true", false}, {"file=x.geojson&class=building&findings=true&strict=true", true}} {
		status, body := send(t, srv, "operator", Lines, c.query, collection(feature("a", polygon(square)), feature("b", polygon(bowTie))))
		var progress, findings int
		var last Event
		dec := json.NewDecoder(strings.NewReader(body))
		for dec.More() {
			if last.Report != nil {
				t.Errorf("something follows the report: %s", body)
			}
			last = Event{}
			if err := dec.Decode(&last); err != nil {
				t.Fatal(err)
			}
			if last.Progress != nil {
				progress++
				if last.Progress.Total == 0 {
					t.Errorf("%+v", last.Progress)
				}
			}
			if last.Finding != nil {
				findings++
			}
		}
		if status != 200 || findings != 1 || progress == 0 || last.Report == nil || (last.Error != nil) != c.failed || last.Report.Stored == c.failed {
			t.Errorf("%d, %d findings, %d times progress, %s", status, findings, progress, body)
		}
		if c.failed {
			var fault *store.Error
			if !errors.As(last.Error.Err(), &fault) || fault.Line != 3 || fault.File != "x.geojson" || fault.Object != "b" {
				t.Errorf("%+v", last.Error)
			}
		}
	}
}

// TestHandlerClientGoes: what a client that went away had sent is neither stored
// nor kept.
func TestHandlerClientGoes(t *testing.T) {
	s := openStore(t)
	began, ended := make(chan struct{}), make(chan struct{})
	srv, _, _ := serve(t, importerFunc(func(ctx context.Context, o store.ImportOptions, objects seq) (store.ImportResult, error) {
		defer close(ended)
		return s.Import(ctx, o, func(yield func(*spatial.CityObject, error) bool) {
			for obj, err := range objects {
				if !yield(obj, err) {
					return
				}
				select {
				case <-began:
				default:
					close(began)
				}
				<-ctx.Done() // the server notices that the client has gone
			}
		})
	}), nil)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+Path+"?file=x.geojson&class=building", bytes.NewReader([]byte(collection(feature("a", polygon(square))))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer operator")
	failed := make(chan error, 1)
	go func() {
		resp, err := srv.Client().Do(req)
		if err == nil {
			err = resp.Body.Close()
		}
		failed <- err
	}()
	<-began
	stop()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("the client got %v", err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the import goes on")
	}
	if n := total(t, s); n != 0 {
		t.Errorf("%d objects stored", n)
	}
}

// TestHandlerRemovesLeftUploads: a process that was killed leaves its uploads.
func TestHandlerRemovesLeftUploads(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/"+spoolPrefix+"1.gml", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, openStore(t), func(o *HandlerOptions) { o.Dir = dir })
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestQueryThereAndBack(t *testing.T) {
	p := Parameters{
		File: "沧浪亭.city.json", Findings: true, Entry: Entry{Code: "d-1", Title: "建筑", Owner: "局", Open: "none"},
		Options: Options{
			Dataset: "d-1", ID: "gml:id", Class: spatial.ClassWater, Type: "WaterBody", Level: 4, CRS: crs.EPSG(4549), GCJ02: true, SwapAxes: true,
			Complete: true, DryRun: true, Repair: RepairNone, Strict: true, SkipUnreadable: true,
		},
	}
	for _, c := range []string{"", "EPSG:31256+8881", "EPSG:4326", "OGC:CRS84h", "EPSG:6697", "EPSG:4979", "EPSG:6667", "EPSG:7415"} {
		var err error
		if p.Options.CRS, err = ParseCRS(c); err != nil {
			t.Fatal(err)
		}
		q, err := url.ParseQuery(p.Query().Encode())
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseQuery(q)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%+v", *back) != fmt.Sprintf("%+v", p) {
			t.Errorf("%s: %+v, want %+v", c, *back, p)
		}
	}
}

func TestDatasetOf(t *testing.T) {
	for file, want := range map[string]string{
		"/data/3-20-DELFSHAVEN.city.json": "3-20-delfshaven", `C:\data\Suzhou Buildings (2).GeoJSON`: "suzhou-buildings-2", "古城.json": "",
		"53394525_bldg_6697.gml": "53394525_bldg_6697", "a.b.json": "a.b", strings.Repeat("x", 100) + ".gml": strings.Repeat("x", 64), ".json": "",
	} {
		if got := DatasetOf(file); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func FuzzParseQuery(f *testing.F) {
	f.Add("class=building&crs=EPSG:4549%2B5737&level=CIM3&dryRun=true")
	f.Add("dataset=x&type=AdministrativeDistrict&gcj02=1")
	f.Fuzz(func(t *testing.T, s string) {
		q, err := url.ParseQuery(s)
		if err != nil {
			return
		}
		p, err := ParseQuery(q)
		if err != nil {
			return
		}
		again, err := ParseQuery(p.Query())
		if err != nil || fmt.Sprintf("%+v", *again) != fmt.Sprintf("%+v", *p) {
			t.Fatalf("%q: %+v, again %+v, %v", s, p, again, err)
		}
	})
}

package asyncapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"cityhub/internal/testkit"
	"cityhub/streams/asyncapi"
)

func tree(t *testing.T) any {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal(asyncapi.Document(asyncapi.Options{Version: "0.1.0", Host: "hub.example.cn", TLS: true}), &doc); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The document is one of AsyncAPI 3.0.0, by the specification's own schema (npm
// package @asyncapi/specs, found by NODE_PATH or below viewer/node_modules).
func TestDocumentMeetsTheAsyncAPISchema(t *testing.T) {
	modules := os.Getenv("NODE_PATH")
	if modules == "" {
		modules = filepath.Join(testkit.RepoRoot(t), "viewer", "node_modules")
	}
	name := filepath.Join(modules, "@asyncapi", "specs", "schemas", "3.0.0-without-$id.json")
	f, err := os.Open(name)
	if err != nil {
		testkit.Missing(t, "the npm package @asyncapi/specs is not in "+modules+"; npm install it there, or set NODE_PATH")
	}
	defer f.Close()
	schema, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	if err := c.AddResource("asyncapi3.json", schema); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("asyncapi3.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(tree(t)); err != nil {
		t.Errorf("%+v", err)
	}
	broken := tree(t).(map[string]any)
	broken["channels"].(map[string]any)["stream"].(map[string]any)["address"] = 7
	if s.Validate(broken) == nil {
		t.Error("the schema allows an address that is a number")
	}
}

// Every reference leads somewhere, and every component is used.
func TestReferences(t *testing.T) {
	doc := tree(t)
	used := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				used[ref] = true
				at := doc
				for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
					m, _ := at.(map[string]any)
					if at = m[part]; at == nil {
						t.Errorf("%s leads nowhere", ref)
						break
					}
				}
			}
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(doc)
	for kind, list := range doc.(map[string]any)["components"].(map[string]any) {
		for name := range list.(map[string]any) {
			if !used["#/components/"+kind+"/"+name] {
				t.Errorf("%s/%s is not used", kind, name)
			}
		}
	}
}

// The schema of each message takes what its type encodes to, and refuses it
// without a member that is required.
func TestSchemasFitTheirTypes(t *testing.T) {
	doc := tree(t)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	if err := c.AddResource("doc.json", doc); err != nil {
		t.Fatal(err)
	}
	lon := 120.62
	ds := asyncapi.Datastream{ID: 12, Lon: &lon}
	row := asyncapi.Observation{12, 1790000000000, 12.3, 2}
	at := "2026-09-21T14:13:20.000Z"
	for _, m := range []any{
		asyncapi.Auth{Type: "auth", Token: "x"},
		asyncapi.Subscribe{Type: "subscribe", ID: "s", Filter: json.RawMessage(`{"bbox":[1,2,3,4],"polygon":{"type":"Polygon","coordinates":[[[1,2],[3,4],[5,6],[1,2]]]},"objects":["a/b"],"parts":false,"cql":{"op":">","args":[{"property":"value"},75]}}`), Mode: "latest", MinIntervalMs: 200, After: &asyncapi.Position{Epoch: "e", Offset: 7}, Events: []string{"terminal"}},
		asyncapi.Update{Type: "update", ID: "s", Filter: json.RawMessage(`{"cql":"value > 75","datastreams":[1]}`)},
		asyncapi.Unsubscribe{Type: "unsubscribe", ID: "s"},
		asyncapi.Ping{Type: "ping", T: "1.5"},
		asyncapi.Welcome{Type: "welcome", Protocol: "cityhub.v1", Time: at, HeartbeatSeconds: 10, MaxSubscriptions: 32, QueueBytes: 1, MessageBytes: 1, MessagesPerSecond: 1, MinIntervalMs: 50},
		asyncapi.Subscribed{Type: "subscribed", ID: "s", View: "v1", Resumed: new(bool), Reason: "why"},
		asyncapi.Unsubscribed{Type: "unsubscribed", ID: "s"},
		asyncapi.Snapshot{Type: "snapshot", View: "v1", Time: at, Datastreams: []asyncapi.Datastream{ds}, Observations: []asyncapi.Observation{row}},
		asyncapi.Delta{Type: "delta", View: "v1", Observations: []asyncapi.Observation{row}, Left: []int64{1}},
		asyncapi.Changed{Type: "changed", ID: "s", View: "v1", Time: at, Datastreams: []asyncapi.Datastream{ds}, Observations: []asyncapi.Observation{row}},
		asyncapi.Event{Type: "event", ID: "e1", Kind: "model", Time: at},
		asyncapi.Heartbeat{Type: "heartbeat", Time: at},
		asyncapi.Pong{Type: "pong"},
		asyncapi.Error{Type: "error", Code: "invalid"},
	} {
		name := reflect.TypeOf(m).Name()
		s, err := c.Compile("doc.json#/components/schemas/" + name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		v, _ := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", b, err)
		}
		schema := doc.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any)[name].(map[string]any)
		for _, need := range schema["required"].([]any) {
			less := map[string]any{}
			for k, e := range v.(map[string]any) {
				if k != need {
					less[k] = e
				}
			}
			if s.Validate(less) == nil {
				t.Errorf("%s passes without %s", name, need)
			}
		}
		if less := v.(map[string]any); true {
			less["type"] = "other"
			if s.Validate(less) == nil {
				t.Errorf("%s passes as another type", name)
			}
		}
	}
	filter, err := c.Compile("doc.json#/components/schemas/Filter")
	if err != nil {
		t.Fatal(err)
	}
	if filter.Validate(map[string]any{"observedProperty": []any{"pm25"}}) == nil {
		t.Error("a filter passes with an unknown member")
	}
}

func TestHandler(t *testing.T) {
	h := asyncapi.Handler(asyncapi.Options{Version: "0.1.0"})
	ask := func(method, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/api/asyncapi.yaml", nil)
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	w := ask(http.MethodGet, "")
	if ct := w.Header().Get("Content-Type"); w.Code != 200 || !strings.HasPrefix(ct, "application/yaml") || !strings.HasPrefix(w.Body.String(), "asyncapi: 3.0.0\ninfo:\n") {
		t.Errorf("%d %s %.60q", w.Code, ct, w.Body)
	}
	if got := ask(http.MethodGet, w.Header().Get("ETag")); got.Code != 304 || got.Body.Len() > 0 {
		t.Errorf("with its ETag: %d", got.Code)
	}
	if got := ask(http.MethodPost, ""); got.Code != 405 {
		t.Errorf("POST: %d", got.Code)
	}
	if again := fmt.Sprint(string(asyncapi.Document(asyncapi.Options{Version: "0.1.0"}))); again != w.Body.String() {
		t.Error("the document is not the same when made again")
	}
}

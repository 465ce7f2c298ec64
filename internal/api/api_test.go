package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cityhub/internal/api"
	"cityhub/internal/web"
	"cityhub/twin"
	"cityhub/twin/policy"
	"cityhub/twin/policy/policytest"
	"cityhub/twin/registry"
)

// log keeps rejects.
type rejectLog struct{ all []api.RejectEntry }

func (l *rejectLog) Rejects(_ context.Context, q api.RejectQuery) (api.RejectPage, error) {
	var p api.RejectPage
	for i := len(l.all); i > 0; i-- {
		e := l.all[i-1]
		if (q.Before != 0 && uint64(i) >= q.Before) || (q.Terminal != "" && q.Terminal != e.Terminal) || (q.Reason != "" && q.Reason != string(e.Reason)) {
			continue
		}
		if len(p.Rejects) == q.Limit {
			p.Next = uint64(i + 1)
			break
		}
		p.Rejects = append(p.Rejects, e)
	}
	return p, nil
}

type fixedStatus struct{ err error }

func (s fixedStatus) Status(context.Context) (api.Status, error) {
	return api.Status{Version: "test", Log: api.LogStatus{Epoch: "e", Last: 7}}, s.err
}

type server struct {
	t    testing.TB
	c    *policytest.City
	log  *rejectLog
	base string
}

func serve(t testing.TB, change func(*api.Options)) *server {
	t.Helper()
	c := policytest.New(t, "")
	s := &server{t: t, c: c, log: &rejectLog{}}
	o := api.Options{Registry: c.Registry, Gate: c.Gate, Rejects: s.log, Status: fixedStatus{}, Version: "test", MaxImport: 1 << 20}
	if change != nil {
		change(&o)
	}
	a, err := api.New(o)
	if err != nil {
		t.Fatal(err)
	}
	std, err := web.Standard(web.Options{Logger: slog.New(slog.DiscardHandler), Verifier: c.Gate})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(std(a))
	t.Cleanup(srv.Close)
	s.base = srv.URL
	return s
}

func (s *server) admin() string { return "Bearer " + s.c.Token }

type object = map[string]any

type request struct {
	method, path, auth, ct, body string
	header                       map[string]string
}

func (s *server) do(q request) (*http.Response, []byte) {
	s.t.Helper()
	r, err := http.NewRequest(q.method, s.base+q.path, strings.NewReader(q.body))
	if err != nil {
		s.t.Fatal(err)
	}
	if q.auth != "" {
		r.Header.Set("Authorization", q.auth)
	}
	if q.ct == "" && q.body != "" {
		q.ct = "application/json"
	}
	if q.ct != "" {
		r.Header.Set("Content-Type", q.ct)
	}
	for k, v := range q.header {
		r.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res, b
}

// ok reads an answer that has to have the status.
func (s *server) ok(q request, status int) (object, http.Header) {
	s.t.Helper()
	res, b := s.do(q)
	if res.StatusCode != status {
		s.t.Fatalf("%s %s: %d (want %d): %s", q.method, q.path, res.StatusCode, status, b)
	}
	var v object
	if status != http.StatusNoContent {
		if err := json.Unmarshal(b, &v); err != nil {
			s.t.Fatalf("%s %s: %v in %s", q.method, q.path, err, b)
		}
	}
	return v, res.Header
}

func (s *server) fails(q request, status int) web.ProblemDocument {
	s.t.Helper()
	res, b := s.do(q)
	var p web.ProblemDocument
	if err := json.Unmarshal(b, &p); err != nil || res.StatusCode != status || p.Status != status ||
		res.Header.Get("Content-Type") != web.ContentTypeProblem || !strings.HasPrefix(p.Type, "/problems/") || p.Title == "" || p.Detail == "" {
		s.t.Errorf("%s %s: %d (want %d) %s: %s", q.method, q.path, res.StatusCode, status, res.Header.Get("Content-Type"), b)
	}
	return p
}

const newTerminal = `{"code":"air-002","name":"新站","domain":"environment","dataset":"air","sensor":{"name":"x"},"legalBasis":"法","purpose":"监测",
	"location":{"lon":120.61,"lat":31.31},"credentials":{"username":"u2","password":"p2"},
	"properties":[{"name":"pm25","title":"细颗粒物","titleEn":"PM2.5","unit":{"ucum":"ug/m3","name":"microgram per cubic metre","symbol":"µg/m³"}}]}`

// TestEveryRouteAsEverybodyR02 goes through the API's own description: a route
// that is added without a word here has to be the operator's alone.
func TestEveryRouteAsEverybodyR02(t *testing.T) {
	open := map[string]int{ // what an anonymous caller gets on routes for everybody
		"GET /api/v1/session": 200, "POST /api/v1/session": 400, "DELETE /api/v1/session": 204,
		"GET /api/v1/datasets": 200, "GET /api/v1/datasets/{code}": 200,
	}
	s := serve(t, nil)
	visitor := map[string]string{"none": "", "terminal": "Basic YWlyOm9wZW4tc2VzYW1l"}
	var doc struct {
		OpenAPI string                       `json:"openapi"`
		Paths   map[string]map[string]object `json:"paths"`
	}
	_, b := s.do(request{method: "GET", path: "/api/openapi.json"})
	if err := json.Unmarshal(b, &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%v, OpenAPI %q", err, doc.OpenAPI)
	}
	n := 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			n++
			method = strings.ToUpper(method)
			name := method + " " + path
			at := strings.NewReplacer("{code}", "air", "{id}", "1").Replace(path)
			if strings.HasPrefix(path, "/api/v1/terminals/") {
				at = strings.ReplaceAll(path, "{code}", "air-001")
			}
			want, isOpen := open[name]
			for who, auth := range visitor {
				for _, body := range []string{"", "{}", "{not json"} { // who asks comes first
					q := request{method: method, path: at, auth: auth, body: body}
					if isOpen {
						if body == "" {
							if res, b := s.do(q); res.StatusCode != want {
								t.Errorf("%s as %s: %d, want %d: %s", name, who, res.StatusCode, want, b)
							}
						}
						continue
					}
					p := s.fails(q, 401)
					if len(p.Errors) != 0 || p.Field != "" {
						t.Errorf("%s as %s: tells of the request: %+v", name, who, p)
					}
				}
			}
			s.fails(request{method: method, path: at, auth: "Bearer nonsense"}, 401)
			if isOpen == (op["security"] != nil) {
				t.Errorf("%s: the description says security %v", name, op["security"])
			}
			if _, ok := op["responses"].(object)["default"]; !ok {
				t.Errorf("%s describes no problem", name)
			}
		}
	}
	if n < 18 {
		t.Errorf("only %d operations", n)
	}
	// Nothing of the above had an effect.
	v, _ := s.ok(request{method: "GET", path: "/api/v1/terminals", auth: s.admin()}, 200)
	if v["total"] != 3.0 {
		t.Errorf("%v terminals", v["total"])
	}
}

func TestKnownButNotOperatorIsForbidden(t *testing.T) {
	s := serve(t, nil)
	a, err := api.New(api.Options{Registry: s.c.Registry, Gate: s.c.Gate})
	if err != nil {
		t.Fatal(err)
	}
	h := web.Authenticate(visitorOnly{})(a)
	for _, path := range []string{"/api/v1/terminals", "/api/v1/tokens", "/api/v1/rejects", "/api/v1/status"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "Bearer visitor")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != 403 || rec.Header().Get("Content-Type") != web.ContentTypeProblem {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
}

type visitorOnly struct{}

func (visitorOnly) Verify(context.Context, string) (policy.Principal, error) {
	return policy.Principal{Name: "visitor", Role: policy.RolePublic}, nil
}
func (visitorOnly) Anonymous() policy.Principal { return policy.Principal{Role: policy.RolePublic} }

func TestSession(t *testing.T) {
	s := serve(t, nil)
	const path = "/api/v1/session"
	v, _ := s.ok(request{method: "GET", path: path}, 200)
	if !reflect.DeepEqual(v, object{"role": "public", "anonymous": true}) {
		t.Errorf("%v", v)
	}
	v, h := s.ok(request{method: "POST", path: path, body: `{"token":"` + s.c.Token + `"}`}, 200)
	if !reflect.DeepEqual(v, object{"name": "operator", "role": "admin", "anonymous": false}) {
		t.Errorf("%v", v)
	}
	set := h.Get("Set-Cookie")
	for _, want := range []string{web.SessionCookie + "=", "HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(set, want) {
			t.Errorf("Set-Cookie %q lacks %s", set, want)
		}
	}
	cookie, _, _ := strings.Cut(set, ";")
	v, _ = s.ok(request{method: "GET", path: path, header: map[string]string{"Cookie": cookie}}, 200)
	if v["role"] != "admin" {
		t.Errorf("%v", v)
	}
	s.ok(request{method: "GET", path: "/api/v1/terminals", header: map[string]string{"Cookie": cookie}}, 200)
	// A foreign page cannot use the cookie, nor log the visitor in as somebody else.
	foreign := map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}
	s.fails(request{method: "DELETE", path: "/api/v1/terminals/air-001", header: foreign}, 403)
	s.fails(request{method: "POST", path: path, body: `{"token":"` + s.c.Token + `"}`, header: map[string]string{"Sec-Fetch-Site": "cross-site"}}, 403)
	_, h = s.ok(request{method: "DELETE", path: path, header: map[string]string{"Cookie": cookie}}, 204)
	if !strings.Contains(h.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("Set-Cookie %q", h.Get("Set-Cookie"))
	}
	s.fails(request{method: "POST", path: path, body: `{"token":"wrong"}`}, 401)
	if p := s.fails(request{method: "POST", path: path, body: `{"token":""}`}, 400); p.Field != "token" {
		t.Errorf("%+v", p)
	}
	p := s.fails(request{method: "POST", path: path, body: `{"token":5}`}, 400)
	if p.Field != "token" {
		t.Errorf("%+v", p)
	}
	s.fails(request{method: "POST", path: path, body: `{"tokne":"x"}`}, 400)
	s.fails(request{method: "POST", path: path, body: `{`}, 400)
	s.fails(request{method: "POST", path: path, body: `token=x`, ct: "application/x-www-form-urlencoded"}, 415)
	s.fails(request{method: "GET", path: path, header: map[string]string{"Cookie": web.SessionCookie + "=old"}}, 401)
}

func TestProblemsDoNotEchoSecrets(t *testing.T) {
	s := serve(t, nil)
	_, b := s.do(request{method: "POST", path: "/api/v1/session", body: `{"token":["TOPSECRET"],"other":"TOPSECRET"}`})
	if bytes.Contains(b, []byte("TOPSECRET")) {
		t.Errorf("%s", b)
	}
}

func TestTerminals(t *testing.T) {
	s := serve(t, nil)
	list := func(query string) (codes []string, v object, h http.Header) {
		t.Helper()
		v, h = s.ok(request{method: "GET", path: "/api/v1/terminals" + query, auth: s.admin()}, 200)
		for _, x := range v["terminals"].([]any) {
			codes = append(codes, x.(object)["code"].(string))
		}
		return codes, v, h
	}
	for query, want := range map[string]string{
		"": "air-001 fire-001 traffic-001", "?domain=transport": "traffic-001", "?state=retired": "", "?text=pagoda": "air-001", "?text=平江": "fire-001",
		"?dataset=fire": "fire-001", "?offset=1": "fire-001 traffic-001", "?after=air-001": "fire-001 traffic-001", "?district=320508": "air-001",
	} {
		if got, _, _ := list(query); strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	got, v, h := list("?limit=2")
	if len(got) != 2 || v["total"] != 3.0 || v["next"] != "fire-001" || h.Get("Link") != `</api/v1/terminals?after=fire-001&limit=2>; rel="next"` {
		t.Errorf("%v, %v, %q", got, v["next"], h.Get("Link"))
	}
	if got, v, _ = list("?limit=2&after=fire-001"); len(got) != 1 || v["next"] != nil {
		t.Errorf("%v, next %v", got, v["next"])
	}
	one, _ := s.ok(request{method: "GET", path: "/api/v1/terminals/air-001", auth: s.admin()}, 200)
	if one["username"] != "air" || one["name"] != "北寺塔空气站" || !reflect.DeepEqual(one["location"], object{"lon": 120.6154, "lat": 31.32454}) {
		t.Errorf("%v", one)
	}
	latest := map[string]any{}
	for _, x := range one["datastreams"].([]any) {
		d := x.(object)
		latest[d["property"].(string)] = d["latest"].(object)["value"]
		if d["property"] == "pm25" && (d["title"] != "细颗粒物" || d["titleEn"] != "PM2.5" || d["unit"] != "µg/m³" || d["ucum"] != "ug/m3" || d["dataset"] != "air" || d["result"] != "measurement") {
			t.Errorf("%v", d)
		}
	}
	if want := (map[string]any{"pm25": 24.9, "cars": 12345678.0, "status": "正常 \"ok\"", "alarm": true}); !reflect.DeepEqual(latest, want) {
		t.Errorf("latest %v, want %v", latest, want)
	}
	if _, b := s.do(request{method: "GET", path: "/api/v1/terminals/air-001", auth: s.admin()}); bytes.Contains(b, []byte("sesame")) {
		t.Error("the password shows")
	}
	s.fails(request{method: "GET", path: "/api/v1/terminals/none", auth: s.admin()}, 404)
	for _, query := range []string{"?limit=0", "?limit=1001", "?limit=x", "?domain=space", "?offset=-1", "?lmit=5"} {
		if p := s.fails(request{method: "GET", path: "/api/v1/terminals" + query, auth: s.admin()}, 400); p.Field == "" {
			t.Errorf("%s: no field: %+v", query, p)
		}
	}
}

func TestTerminalLifeCycle(t *testing.T) {
	s := serve(t, nil)
	const path = "/api/v1/terminals"
	v, h := s.ok(request{method: "POST", path: path, auth: s.admin(), body: newTerminal}, 201)
	if h.Get("Location") != path+"/air-002" || v["code"] != "air-002" || len(v["datastreams"].([]any)) != 1 {
		t.Errorf("%q, %v", h.Get("Location"), v)
	}
	if code, err := s.c.Registry.Authenticate(t.Context(), "u2", "p2"); err != nil || code != "air-002" {
		t.Errorf("%s, %v", code, err)
	}
	s.fails(request{method: "POST", path: path, auth: s.admin(), body: newTerminal}, 409)
	id := v["datastreams"].([]any)[0].(object)["id"]

	v, _ = s.ok(request{method: "PATCH", path: path + "/air-002", auth: s.admin(), ct: "application/merge-patch+json", body: `{"name":"改名","location":{"lat":31.32},"extra":{"floor":2}}`}, 200)
	if v["name"] != "改名" || !reflect.DeepEqual(v["location"], object{"lon": 120.61, "lat": 31.32}) || v["purpose"] != "监测" || !reflect.DeepEqual(v["extra"], object{"floor": 2.0}) {
		t.Errorf("%v", v)
	}
	if got := v["datastreams"].([]any); len(got) != 1 || got[0].(object)["id"] != id || got[0].(object)["titleEn"] != "PM2.5" {
		t.Errorf("the patch changed the Datastreams: %v", got)
	}
	if _, err := s.c.Registry.Authenticate(t.Context(), "u2", "p2"); err != nil {
		t.Errorf("the patch took the credentials away: %v", err)
	}
	v, _ = s.ok(request{method: "PUT", path: path + "/air-002", auth: s.admin(), body: strings.Replace(newTerminal, "新站", "又改", 1)}, 200)
	if v["name"] != "又改" {
		t.Errorf("%v", v)
	}
	s.ok(request{method: "PUT", path: path + "/air-003", auth: s.admin(), body: strings.NewReplacer("air-002", "air-003", "u2", "u3").Replace(newTerminal)}, 201)

	s.ok(request{method: "DELETE", path: path + "/air-002", auth: s.admin()}, 204)
	v, _ = s.ok(request{method: "GET", path: path + "/air-002", auth: s.admin()}, 200)
	if v["state"] != "retired" {
		t.Errorf("%v", v["state"])
	}
	s.fails(request{method: "DELETE", path: path + "/none", auth: s.admin()}, 404)
}

func TestTerminalMistakesNameTheField(t *testing.T) {
	s := serve(t, nil)
	const path = "/api/v1/terminals"
	for _, tt := range []struct {
		name, method, path, ct, body string
		status                       int
		field                        string
	}{
		{"swapped", "POST", path, "", strings.Replace(newTerminal, `"lon":120.61,"lat":31.31`, `"lon":31.31,"lat":120.61`, 1), 400, "location.lat"},
		{"domain", "POST", path, "", strings.Replace(newTerminal, `"environment"`, `"space"`, 1), 400, "domain"},
		{"dataset", "POST", path, "", strings.Replace(newTerminal, `"dataset":"air"`, `"dataset":"nope"`, 1), 400, "dataset"},
		{"member", "POST", path, "", strings.Replace(newTerminal, `"purpose"`, `"porpoise"`, 1), 400, "porpoise"},
		{"type", "POST", path, "", strings.Replace(newTerminal, `"新站"`, `5`, 1), 400, "name"},
		{"no code", "POST", path, "", strings.Replace(newTerminal, `"code":"air-002",`, ``, 1), 400, "code"},
		{"other code", "PUT", path + "/other", "", newTerminal, 400, "code"},
		{"code in patch", "PATCH", path + "/air-001", "", `{"code":"x"}`, 400, "code"},
		{"patch removes a must", "PATCH", path + "/air-001", "", `{"name":null}`, 400, "name"},
		{"patch of nothing", "PATCH", path + "/none", "", `{}`, 404, "code"},
		{"not an object", "PATCH", path + "/air-001", "", `[]`, 400, ""},
		{"empty", "POST", path, "application/json", "", 400, ""},
		{"syntax", "POST", path, "", "{", 400, ""},
		{"media type", "POST", path, "text/plain", newTerminal, 415, "Content-Type"},
		{"large", "POST", path, "", `{"name":"` + strings.Repeat("x", 5<<20) + `"}`, 413, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := *s
			s.t = t
			if p := s.fails(request{method: tt.method, path: tt.path, auth: s.admin(), ct: tt.ct, body: tt.body}, tt.status); p.Field != tt.field {
				t.Errorf("field %q, want %q: %+v", p.Field, tt.field, p)
			}
		})
	}
	p := s.fails(request{method: "POST", path: path, auth: s.admin(), body: `{"code":"a b","properties":[]}`}, 400)
	var fields []string
	for _, e := range p.Errors {
		fields = append(fields, e.Field)
	}
	for _, want := range []string{"code", "name", "domain", "dataset"} {
		if !slices.Contains(fields, want) {
			t.Errorf("%s is not among the mistakes %v", want, fields)
		}
	}
}

const manifestYAML = `terminals:
  - code: air-009
    name: 九号
    domain: environment
    dataset: air
    properties:
      - {name: pm25, title: 细颗粒物, titleEn: PM2.5, unit: {ucum: ug/m3, name: microgram per cubic metre, symbol: µg/m³}}
`

func TestImport(t *testing.T) {
	s := serve(t, nil)
	const path = "/api/v1/terminals/import"
	v, _ := s.ok(request{method: "POST", path: path + "?dryRun=true", auth: s.admin(), ct: "application/yaml", body: manifestYAML}, 200)
	if v["created"] != 1.0 || v["dryRun"] != true {
		t.Errorf("%v", v)
	}
	s.fails(request{method: "GET", path: "/api/v1/terminals/air-009", auth: s.admin()}, 404)
	for i, want := range []string{"created", "unchanged"} {
		v, _ = s.ok(request{method: "POST", path: path, auth: s.admin(), ct: "application/yaml", body: manifestYAML}, 200)
		if v[want] != 1.0 || v["dryRun"] != false {
			t.Errorf("import %d: %v", i, v)
		}
	}
	s.ok(request{method: "GET", path: "/api/v1/terminals/air-009", auth: s.admin()}, 200)

	bad := strings.Replace(strings.Replace(manifestYAML, "environment", "space", 1), "dataset: air", "datset: air", 1)
	p := s.fails(request{method: "POST", path: path, auth: s.admin(), ct: "application/yaml", body: bad}, 400)
	lines := map[int]bool{}
	for _, e := range p.Errors {
		lines[e.Line] = true
		if e.Detail == "" {
			t.Errorf("%+v", e)
		}
	}
	if !lines[4] || !lines[5] {
		t.Errorf("the mistakes of lines 4 and 5 are not named: %+v", p)
	}
	s.fails(request{method: "POST", path: path, auth: s.admin(), ct: "text/csv", body: "nonsense"}, 400)
	s.fails(request{method: "POST", path: path, auth: s.admin(), ct: "image/png", body: "x"}, 415)
	s.fails(request{method: "POST", path: path + "?dryRun=perhaps", auth: s.admin(), ct: "application/yaml", body: manifestYAML}, 400)
	s.fails(request{method: "POST", path: path, auth: s.admin(), ct: "application/yaml", body: strings.Repeat("#", 2<<20)}, 413)
}

func TestRejects(t *testing.T) {
	s := serve(t, nil)
	ns := policytest.Start.UnixNano()
	add := func(terminal string, reason twin.RejectReason, payload string, size int) {
		s.log.all = append(s.log.all, api.RejectEntry{ID: fmt.Sprint(len(s.log.all) + 1), Reject: twin.Reject{ReceivedNs: ns, Source: "mqtt", Terminal: terminal, Topic: "t/\xff", Payload: []byte(payload), Size: size, Reason: reason, Detail: "d"}})
	}
	add("a", twin.RejectNotANumber, `{"pm25":"x"}`, 12)
	add("b", twin.RejectInvalidUTF8, "\xff\xfe", 2)
	add("a", twin.RejectFuture, "塔\xe5\x8c", 5000) // cut inside a letter
	get := func(query string) []object {
		t.Helper()
		v, _ := s.ok(request{method: "GET", path: "/api/v1/rejects" + query, auth: s.admin()}, 200)
		var out []object
		for _, x := range v["rejects"].([]any) {
			out = append(out, x.(object))
		}
		if next, ok := v["next"]; ok {
			out = append(out, object{"next": next})
		}
		return out
	}
	all := get("")
	if len(all) != 3 || all[0]["payload"] != "塔" || all[0]["payloadEncoding"] != "text" || all[0]["time"] != policytest.Start.Format(time.RFC3339) || all[0]["size"] != 5000.0 {
		t.Errorf("%v", all)
	}
	if all[1]["payload"] != "//4=" || all[1]["payloadEncoding"] != "base64" || all[2]["payload"] != `{"pm25":"x"}` {
		t.Errorf("%v", all)
	}
	if got := get("?terminal=a&reason=not+a+number"); len(got) != 1 || got[0]["id"] != "1" {
		t.Errorf("%v", got)
	}
	first := get("?limit=2")
	if len(first) != 3 || first[2]["next"] == nil {
		t.Fatalf("%v", first)
	}
	if got := get("?limit=2&before=" + first[2]["next"].(string)); len(got) != 1 || got[0]["id"] != "1" {
		t.Errorf("%v", got)
	}
	s.fails(request{method: "GET", path: "/api/v1/rejects?before=x", auth: s.admin()}, 400)
	none := serve(t, func(o *api.Options) { o.Rejects, o.Status = nil, nil })
	none.fails(request{method: "GET", path: "/api/v1/rejects", auth: none.admin()}, 503)
	none.fails(request{method: "GET", path: "/api/v1/status", auth: none.admin()}, 503)
}

func TestDatasetsR32R35(t *testing.T) {
	s := serve(t, nil)
	const path = "/api/v1/datasets"
	codes := func(auth string) string {
		t.Helper()
		v, _ := s.ok(request{method: "GET", path: path, auth: auth}, 200)
		var out []string
		for _, x := range v["datasets"].([]any) {
			out = append(out, x.(object)["code"].(string))
		}
		return strings.Join(out, " ")
	}
	if got := codes(""); got != "air" {
		t.Errorf("anonymous sees %s", got)
	}
	if got := codes(s.admin()); got != "air traffic fire" {
		t.Errorf("the operator sees %s", got)
	}
	hidden, missing := s.fails(request{method: "GET", path: path + "/fire"}, 404), s.fails(request{method: "GET", path: path + "/none"}, 404)
	if strings.ReplaceAll(hidden.Detail, "fire", "none") != missing.Detail {
		t.Errorf("%q and %q can be told apart", hidden.Detail, missing.Detail)
	}
	v, _ := s.ok(request{method: "PATCH", path: path + "/fire", auth: s.admin(), body: `{"open":"unconditional"}`}, 200)
	if v["open"] != "unconditional" || v["title"] != "消防" {
		t.Errorf("%v", v)
	}
	if got := codes(""); got != "air fire" {
		t.Errorf("anonymous sees %s", got)
	}
	_, h := s.ok(request{method: "PUT", path: path + "/water", auth: s.admin(), body: `{"title":"水","owner":"水务局"}`}, 201)
	if h.Get("Location") != path+"/water" {
		t.Errorf("Location %q", h.Get("Location"))
	}
	v, _ = s.ok(request{method: "GET", path: path + "/water", auth: s.admin()}, 200)
	if v["open"] != "none" { // a new Dataset is not open
		t.Errorf("%v", v)
	}
	s.ok(request{method: "PUT", path: path + "/water", auth: s.admin(), body: `{"code":"water","title":"水位","owner":"水务局","open":"conditional"}`}, 200)
	for body, field := range map[string]string{
		`{"title":"水"}`: "", `{"title":"水","owner":" "}`: "owner", `{"title":"水","owner":"x","open":"perhaps"}`: "open",
		`{"title":"水","owner":"x","code":"other"}`: "code", `{"title":"水","owner":"x","ownr":"y"}`: "ownr",
	} {
		if p := s.fails(request{method: "PUT", path: path + "/water", auth: s.admin(), body: body}, 400); p.Field != field {
			t.Errorf("%s: field %q, want %q: %+v", body, p.Field, field, p)
		}
	}
	s.fails(request{method: "PATCH", path: path + "/none", auth: s.admin(), body: `{}`}, 404)
}

func TestTokens(t *testing.T) {
	s := serve(t, nil)
	const path = "/api/v1/tokens"
	v, h := s.ok(request{method: "POST", path: path, auth: s.admin(), body: `{"name":"wall screen"}`}, 201)
	secret := v["secret"].(string)
	if v["role"] != registry.RoleOperator || h.Get("Cache-Control") != "no-store" {
		t.Errorf("%v, %v", v, h)
	}
	s.ok(request{method: "GET", path: path, auth: "Bearer " + secret}, 200)
	v2, _ := s.ok(request{method: "GET", path: path, auth: s.admin()}, 200)
	if list := v2["tokens"].([]any); len(list) != 2 || list[1].(object)["name"] != "wall screen" || list[1].(object)["secret"] != nil || list[1].(object)["expires"] != nil {
		t.Errorf("%v", list)
	}
	s.ok(request{method: "DELETE", path: fmt.Sprintf("%s/%.0f", path, v["id"]), auth: s.admin()}, 204)
	s.fails(request{method: "GET", path: path, auth: "Bearer " + secret}, 401)
	s.fails(request{method: "DELETE", path: path + "/999", auth: s.admin()}, 404)
	s.fails(request{method: "DELETE", path: path + "/x", auth: s.admin()}, 400)
	for body, field := range map[string]string{`{"name":""}`: "name", `{"name":"x","role":"root"}`: "role", `{"name":"x","expires":"2001-01-01T00:00:00Z"}`: "expires", `{"name":"x","expires":"soon"}`: "expires"} {
		if p := s.fails(request{method: "POST", path: path, auth: s.admin(), body: body}, 400); p.Field != field {
			t.Errorf("%s: field %q: %+v", body, p.Field, p)
		}
	}
}

func TestStatus(t *testing.T) {
	s := serve(t, nil)
	v, _ := s.ok(request{method: "GET", path: "/api/v1/status", auth: s.admin()}, 200)
	if v["version"] != "test" || v["log"].(object)["last"] != 7.0 || v["views"] == nil || v["queues"] == nil {
		t.Errorf("%v", v)
	}
	broken := serve(t, func(o *api.Options) { o.Status = fixedStatus{errors.New("secret cause")} })
	if p := broken.fails(request{method: "GET", path: "/api/v1/status", auth: broken.admin()}, 500); strings.Contains(p.Detail, "secret") || p.Incident == "" {
		t.Errorf("%+v", p)
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	s := serve(t, nil)
	s.fails(request{method: "GET", path: "/api/v1/nothing", auth: s.admin()}, 404)
	res, _ := s.do(request{method: "PUT", path: "/api/v1/session", auth: s.admin()})
	if res.StatusCode != 405 || res.Header.Get("Allow") != "GET, POST, DELETE" || res.Header.Get("Content-Type") != web.ContentTypeProblem {
		t.Errorf("%d, Allow %q", res.StatusCode, res.Header.Get("Allow"))
	}
}

func TestBodyThatCannotBeRead(t *testing.T) {
	s := serve(t, nil)
	a, err := api.New(api.Options{Registry: s.c.Registry, Gate: s.c.Gate})
	if err != nil {
		t.Fatal(err)
	}
	std, err := web.Standard(web.Options{Logger: slog.New(slog.DiscardHandler), Verifier: s.c.Gate, MaxBody: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		body   io.Reader
		status int
	}{
		"over the hub's limit": {strings.NewReader(strings.Repeat("x", 2000)), 413},
		"broken off":           {io.MultiReader(strings.NewReader("{"), brokenReader{}), 400},
	} {
		r := httptest.NewRequest("POST", "/api/v1/terminals", tt.body)
		r.Header.Set("Authorization", s.admin())
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		std(a).ServeHTTP(rec, r)
		var p web.ProblemDocument
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || rec.Code != tt.status || p.Status != tt.status {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestOpenAPIDescribesEverything(t *testing.T) {
	s := serve(t, nil)
	v, h := s.ok(request{method: "GET", path: "/api/openapi.json"}, 200)
	if h.Get("Content-Type") != "application/openapi+json" {
		t.Errorf("Content-Type %q", h.Get("Content-Type"))
	}
	b, _ := json.Marshal(v)
	for _, ref := range refs(v) {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		if _, ok := v["components"].(object)["schemas"].(object)[name]; !ok {
			t.Errorf("%s leads nowhere", ref)
		}
	}
	if bytes.Contains(b, []byte("ErrorModel")) || bytes.Contains(b, []byte("http://unpkg")) || !bytes.Contains(b, []byte("ProblemDocument")) {
		t.Error("the description is not of this API's problems")
	}
}

func refs(v any) (out []string) {
	switch x := v.(type) {
	case object:
		for k, y := range x {
			if s, ok := y.(string); ok && k == "$ref" {
				out = append(out, s)
				continue
			}
			out = append(out, refs(y)...)
		}
	case []any:
		for _, y := range x {
			out = append(out, refs(y)...)
		}
	}
	return out
}

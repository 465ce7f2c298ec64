package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cityhub/twin"
	"cityhub/twin/policy"
)

// tokens is a Verifier of fixed tokens.
type tokens map[string]policy.Principal

func (t tokens) Verify(_ context.Context, token string) (policy.Principal, error) {
	if token == "broken" {
		return policy.Principal{}, errors.New("disk on fire at /secret/path")
	}
	p, ok := t[token]
	if !ok {
		return p, &twin.Error{Code: twin.CodeUnauthorized, Op: "verify token", Message: "the token is not valid"}
	}
	return p, nil
}

func (t tokens) Anonymous() policy.Principal { return policy.Principal{Role: policy.RolePublic} }

var known = tokens{"good": {Name: "operator", Role: policy.RoleAdmin}, "low": {Name: "visitor", Role: policy.RolePublic}}

func decodeProblem(t *testing.T, res *http.Response) ProblemDocument {
	t.Helper()
	if ct := res.Header.Get("Content-Type"); ct != ContentTypeProblem {
		t.Fatalf("Content-Type %q, want %q", ct, ContentTypeProblem)
	}
	var p ProblemDocument
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	if p.Status != res.StatusCode {
		t.Errorf("status member %d, response %d", p.Status, res.StatusCode)
	}
	return p
}

func TestProblemRFC9457(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		typ    string
		header string
	}{
		{&twin.Error{Code: twin.CodeInvalid, Field: "lon", Message: "is 200", Hint: "at most 180"}, 400, "invalid", ""},
		{&twin.Error{Code: twin.CodeNotFound, Message: "no"}, 404, "not-found", ""},
		{&twin.Error{Code: twin.CodeConflict, Message: "no"}, 409, "conflict", ""},
		{&twin.Error{Code: twin.CodeUnauthorized, Message: "no"}, 401, "unauthorized", "WWW-Authenticate"},
		{&twin.Error{Code: twin.CodeForbidden, Message: "no"}, 403, "forbidden", ""},
		{&twin.Error{Code: twin.CodeTooLarge, Message: "no"}, 413, "too-large", ""},
		{&twin.Error{Code: twin.CodeTooMany, Message: "no"}, 429, "too-many", "Retry-After"},
		{&twin.Error{Code: twin.CodeUnavailable, Message: "no"}, 503, "unavailable", "Retry-After"},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), 503, "unavailable", "Retry-After"},
		{UnsupportedMediaType("text/plain", "application/json"), 415, "unsupported-media-type", ""},
		{NotImplemented("$expand", "not served", "$top"), 501, "not-implemented", ""},
	} {
		t.Run(tt.typ, func(t *testing.T) {
			rec := httptest.NewRecorder()
			Problem(rec, httptest.NewRequest("GET", "/a/b?token=x", nil), fmt.Errorf("wrapped: %w", tt.err))
			p := decodeProblem(t, rec.Result())
			if p.Status != tt.status || p.Type != "/problems/"+tt.typ || p.Title == "" || p.Detail == "" || p.Instance != "/a/b" {
				t.Errorf("got %+v", p)
			}
			if tt.header != "" && rec.Header().Get(tt.header) == "" {
				t.Errorf("no %s", tt.header)
			}
			if tt.typ == "invalid" && (p.Field != "lon" || p.Hint != "at most 180") {
				t.Errorf("field and hint are missing: %+v", p)
			}
		})
	}
}

func TestProblemLeaksNothing(t *testing.T) {
	for name, err := range map[string]error{
		"plain":   errors.New("open /var/lib/secret.db: denied"),
		"corrupt": &twin.Error{Code: twin.CodeCorrupt, Op: "read", Field: "secret", Message: "secret block", Hint: "secret", Err: errors.New("secret")},
	} {
		t.Run(name, func(t *testing.T) {
			var logged bytes.Buffer
			h := Recover(slog.New(slog.NewTextHandler(&logged, nil)))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { Problem(w, r, err) }))
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequest("GET", "/x", nil))
			body := rec.Body.String()
			p := decodeProblem(t, rec.Result())
			if strings.Contains(body, "secret") || p.Status != 500 || p.Incident == "" {
				t.Errorf("body %s", body)
			}
			if !strings.Contains(logged.String(), p.Incident) || !strings.Contains(logged.String(), "secret") {
				t.Errorf("the log lacks incident or cause: %s", logged.String())
			}
		})
	}
}

func TestProblemTypesAreServed(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("GET /problems/{code}", ProblemTypes())
	for code, want := range map[string]int{"not-found": 200, "method-not-allowed": 200, "internal": 200, "nonsense": 404} {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest("GET", "/problems/"+code, nil))
		if rec.Code != want {
			t.Errorf("%s: %d, want %d", code, rec.Code, want)
		}
	}
}

func TestAuthenticate(t *testing.T) {
	page := map[string]string{"Accept": "text/html"}
	for _, tt := range []struct {
		name, method, auth, cookie string
		header                     map[string]string
		status                     int
		principal                  string
	}{
		{name: "nothing is anonymous", status: 200, principal: "/public"},
		{name: "bearer", auth: "Bearer good", status: 200, principal: "operator/admin"},
		{name: "bearer, any case", auth: "bearer good", status: 200, principal: "operator/admin"},
		{name: "bad bearer", auth: "Bearer bad", status: 401},
		{name: "bad bearer beats good cookie", auth: "Bearer bad", cookie: "good", status: 401},
		{name: "empty bearer", auth: "Bearer ", status: 401},
		{name: "other scheme", auth: "Digest x", status: 401},
		{name: "basic is left to the handler", auth: "Basic eA==", status: 200, principal: "/public"},
		{name: "verifier fails", auth: "Bearer broken", status: 500},
		{name: "cookie", cookie: "good", status: 200, principal: "operator/admin"},
		{name: "bad cookie", cookie: "bad", status: 401},
		{name: "bad cookie on a page", cookie: "bad", header: page, status: 200, principal: "/public"},
		{name: "cookie POST without browser", method: "POST", cookie: "good", status: 200, principal: "operator/admin"},
		{name: "cookie POST from own page", method: "POST", cookie: "good", header: map[string]string{"Sec-Fetch-Site": "same-origin"}, status: 200, principal: "operator/admin"},
		{name: "cookie POST from other site", method: "POST", cookie: "good", header: map[string]string{"Sec-Fetch-Site": "cross-site"}, status: 403},
		{name: "cookie POST from other port", method: "POST", cookie: "good", header: map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://hub.example:3000"}, status: 403},
		{name: "cookie POST, own Origin", method: "POST", cookie: "good", header: map[string]string{"Origin": "http://hub.example"}, status: 200, principal: "operator/admin"},
		{name: "cookie POST, other Origin", method: "POST", cookie: "good", header: map[string]string{"Origin": "http://evil.example"}, status: 403},
		{name: "cookie POST, null Origin", method: "POST", cookie: "good", header: map[string]string{"Origin": "null"}, status: 403},
		{name: "cookie WebSocket, other Origin", cookie: "good", header: map[string]string{"Upgrade": "websocket", "Origin": "http://evil.example"}, status: 403},
		{name: "cookie GET from other site is a read", cookie: "good", header: map[string]string{"Sec-Fetch-Site": "cross-site"}, status: 200, principal: "operator/admin"},
		{name: "bearer POST from other site", method: "POST", auth: "Bearer good", header: map[string]string{"Sec-Fetch-Site": "cross-site"}, status: 200, principal: "operator/admin"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := Chain(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				p := PrincipalFrom(r.Context())
				fmt.Fprintf(w, "%s/%s", p.Name, p.Role)
			}), Recover(slog.New(slog.DiscardHandler)), Authenticate(known))
			r := httptest.NewRequest(tt.method, "http://hub.example/x", nil)
			if tt.auth != "" {
				r.Header.Set("Authorization", tt.auth)
			}
			if tt.cookie != "" {
				r.AddCookie(&http.Cookie{Name: SessionCookie, Value: tt.cookie})
			}
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if rec.Code != tt.status {
				t.Fatalf("status %d, want %d: %s", rec.Code, tt.status, rec.Body)
			}
			if tt.status == 200 && rec.Body.String() != tt.principal {
				t.Errorf("principal %s, want %s", rec.Body, tt.principal)
			}
			if tt.status != 200 {
				decodeProblem(t, rec.Result())
			}
			if tt.cookie == "bad" && !strings.Contains(rec.Header().Get("Set-Cookie"), "Max-Age=0") {
				t.Errorf("the dead cookie stays: %q", rec.Header().Get("Set-Cookie"))
			}
			if tt.status == 401 && rec.Header().Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate")
			}
		})
	}
}

func TestSessionCookie(t *testing.T) {
	r := httptest.NewRequest("POST", "https://hub.example/api/v1/session", nil)
	p, c, err := NewSession(known, r, "good")
	if err != nil || p.Name != "operator" {
		t.Fatal(p, err)
	}
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || !c.Secure || c.Path != "/" || c.MaxAge <= 0 {
		t.Errorf("cookie %+v", c)
	}
	for name, tt := range map[string]struct {
		token, site string
		code        twin.Code
	}{
		"wrong":      {"bad", "", twin.CodeUnauthorized},
		"missing":    {"", "", twin.CodeInvalid},
		"cross-site": {"good", "cross-site", twin.CodeForbidden},
	} {
		r.Header.Set("Sec-Fetch-Site", tt.site)
		if _, _, err := NewSession(known, r, tt.token); twin.ErrorCode(err) != tt.code {
			t.Errorf("%s: %v, want %s", name, err, tt.code)
		}
	}
}

func TestRecover(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	rec := httptest.NewRecorder()
	Recover(logger)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") })).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if p := decodeProblem(t, rec.Result()); p.Status != 500 || p.Incident == "" || strings.Contains(p.Detail, "secret") {
		t.Errorf("%+v", p)
	}
	for name, h := range map[string]http.HandlerFunc{
		"abort":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"half way": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("half")); panic("x") },
	} {
		func() {
			defer func() {
				if v := recover(); v != http.ErrAbortHandler {
					t.Errorf("%s: recovered %v, want ErrAbortHandler", name, v)
				}
			}()
			Recover(logger)(h).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		}()
	}
}

func TestAccessLogHasNoSecret(t *testing.T) {
	var logged bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	std, err := Standard(Options{Logger: logger, Clock: time.Now, Verifier: known, MaxBody: 100})
	if err != nil {
		t.Fatal(err)
	}
	h := std(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { JSON(w, r, 201, "x") }))
	r := httptest.NewRequest("POST", "/x?access_token=TOPSECRET", nil)
	r.Header.Set("Authorization", "Bearer good")
	h.ServeHTTP(httptest.NewRecorder(), r)
	out := logged.String()
	for _, want := range []string{"path=/x", "status=201", "principal=operator"} {
		if !strings.Contains(out, want) {
			t.Errorf("log lacks %s: %s", want, out)
		}
	}
	if strings.Contains(out, "TOPSECRET") || strings.Contains(out, "good") {
		t.Errorf("log holds a secret: %s", out)
	}
}

func TestStandardCompressesButNotStreams(t *testing.T) {
	std, err := Standard(Options{Logger: slog.New(slog.DiscardHandler), Verifier: known})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("reading ", 1000)
	mux := http.NewServeMux()
	mux.HandleFunc("/json", func(w http.ResponseWriter, r *http.Request) { JSON(w, r, 200, long) })
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("x") })
	srv := httptest.NewServer(std(mux))
	t.Cleanup(srv.Close) // after the cleanups below, which end the stream
	get := func(path string) *http.Response {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		t.Cleanup(cancel)
		r, _ := http.NewRequestWithContext(ctx, "GET", srv.URL+path, nil)
		r.Header.Set("Accept-Encoding", "gzip")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cancel(); _ = res.Body.Close() })
		return res
	}
	res := get("/json")
	if res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Fatalf("headers %v", res.Header)
	}
	zr, err := gzip.NewReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got string
	if err := json.NewDecoder(zr).Decode(&got); err != nil || got != long {
		t.Errorf("body does not survive: %v", err)
	}
	res = get("/events")
	buf := make([]byte, 9)
	if _, err := io.ReadFull(res.Body, buf); err != nil || string(buf) != "data: 1\n\n" || res.Header.Get("Content-Encoding") != "" {
		t.Errorf("event %q, encoding %q, %v", buf, res.Header.Get("Content-Encoding"), err)
	}
	if p := decodeProblem(t, get("/panic")); p.Status != 500 {
		t.Errorf("%+v", p)
	}
}

func TestStandardLetsConnectionsBeTakenOver(t *testing.T) {
	std, err := Standard(Options{Logger: slog.New(slog.DiscardHandler), Verifier: known})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(std(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hj, ok := w.(http.Hijacker)
		if !ok {
			http.Error(w, "no hijacker", 500)
			return
		}
		conn, rw, err := hj.Hijack()
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = rw.Flush()
		_ = conn.Close()
	})))
	defer srv.Close()
	r, _ := http.NewRequest("GET", srv.URL, nil)
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Accept-Encoding", "gzip")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestOpenReadsR36(t *testing.T) {
	h := OpenReads(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }))
	for _, tt := range []struct{ method, want string }{{"GET", "*"}, {"POST", ""}} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(tt.method, "/", nil))
		if got := rec.Header().Get("Access-Control-Allow-Origin"); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.method, got, tt.want)
		}
		if rec.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Error("cookies must stay out")
		}
	}
}

func TestDecodeJSON(t *testing.T) {
	type in struct {
		Name string `json:"name"`
		N    struct {
			Lon float64 `json:"lon"`
		} `json:"n"`
	}
	for _, tt := range []struct {
		name, ct, body string
		status         int
		field          string
	}{
		{"good", "application/json; charset=utf-8", `{"name":"a","n":{"lon":1}}`, 200, ""},
		{"no type", "", `{}`, 415, "Content-Type"},
		{"text", "text/plain", `{}`, 415, "Content-Type"},
		{"empty", "application/json", ``, 400, ""},
		{"cut", "application/json", `{"name":`, 400, ""},
		{"syntax", "application/json", `{name}`, 400, ""},
		{"wrong type", "application/json", `{"n":{"lon":"x"}}`, 400, "n.lon"},
		{"unknown member", "application/json", `{"nmae":"x"}`, 400, "nmae"},
		{"two values", "application/json", `{} {}`, 400, ""},
		{"too long", "application/json", `{"name":"` + strings.Repeat("x", 200) + `"}`, 413, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.ct)
			rec := httptest.NewRecorder()
			var v in
			if err := DecodeJSON(rec, r, 100, &v); err != nil {
				Problem(rec, r, err)
			}
			if rec.Code != tt.status {
				t.Fatalf("status %d, want %d: %s", rec.Code, tt.status, rec.Body)
			}
			if tt.status != 200 {
				if p := decodeProblem(t, rec.Result()); p.Field != tt.field || p.Detail == "" {
					t.Errorf("field %q, want %q: %+v", p.Field, tt.field, p)
				}
			}
		})
	}
}

func TestBaseURL(t *testing.T) {
	r := httptest.NewRequest("GET", "http://hub.example:8080/x", nil)
	r.Header.Set("X-Forwarded-Host", "evil.example")
	if got := BaseURL(r); got != "http://hub.example:8080" {
		t.Errorf("got %s", got)
	}
	var got string
	PublicURL("https://city.example/")(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = BaseURL(r) })).ServeHTTP(httptest.NewRecorder(), r)
	if got != "https://city.example" {
		t.Errorf("got %s", got)
	}
}

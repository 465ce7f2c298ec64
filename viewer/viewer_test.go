package viewer

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	page   = "<!doctype html><title>t</title>"
	script = "console.log('a long enough script, a long enough script')"
)

func zip(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func built(t *testing.T) *handler {
	t.Helper()
	h, err := newHandler(fstest.MapFS{
		".gitkeep":               {Data: nil},
		"index.html":             {Data: []byte(page)},
		"favicon.svg":            {Data: []byte("<svg/>")},
		"assets/main-4f2a.js":    {Data: []byte(script)},
		"assets/main-4f2a.js.gz": {Data: zip(t, script)},
		"assets/main-4f2a.js.br": {Data: []byte("brotli bytes")},
		"assets/main-9b1c.css":   {Data: []byte("a{}")},
		"assets/f-1.woff2":       {Data: []byte("font")},
		"assets/odd-1.qqq":       {Data: []byte("?")},
		"download.tar.gz":        {Data: []byte("not a sibling: there is no download.tar")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func do(h http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestServesBuiltFiles(t *testing.T) {
	h := built(t)
	tests := []struct{ path, contentType, cache, body string }{
		{"/", "text/html; charset=utf-8", cacheRevalidate, page},
		{"/index.html", "text/html; charset=utf-8", cacheRevalidate, page},
		{"/favicon.svg", "image/svg+xml", cacheRevalidate, "<svg/>"},
		{"/assets/main-4f2a.js", "text/javascript; charset=utf-8", cacheForGood, script},
		{"/assets/main-9b1c.css", "text/css; charset=utf-8", cacheForGood, "a{}"},
		{"/assets/f-1.woff2", "font/woff2", cacheForGood, "font"},
		{"/assets/odd-1.qqq", "application/octet-stream", cacheForGood, "?"},
		{"/download.tar.gz", "application/octet-stream", cacheRevalidate, "not a sibling: there is no download.tar"},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			res := do(h, "GET", tt.path)
			if res.StatusCode != 200 {
				t.Fatalf("status %d", res.StatusCode)
			}
			if got := res.Header.Get("Content-Type"); got != tt.contentType {
				t.Errorf("content type %q, want %q", got, tt.contentType)
			}
			if got := res.Header.Get("Cache-Control"); got != tt.cache {
				t.Errorf("cache control %q, want %q", got, tt.cache)
			}
			if got := text(t, res); got != tt.body {
				t.Errorf("body %q, want %q", got, tt.body)
			}
			etag := res.Header.Get("ETag")
			if etag == "" {
				t.Fatal("no ETag")
			}
			again := do(h, "GET", tt.path, "If-None-Match", etag)
			if again.StatusCode != http.StatusNotModified || text(t, again) != "" {
				t.Errorf("with its own ETag: status %d, want 304 without a body", again.StatusCode)
			}
			if got := again.Header.Get("Cache-Control"); got != tt.cache {
				t.Errorf("304 carries cache control %q, want %q", got, tt.cache)
			}
			head := do(h, "HEAD", tt.path)
			if head.StatusCode != 200 || text(t, head) != "" {
				t.Errorf("HEAD: status %d, want 200 without a body", head.StatusCode)
			}
		})
	}
}

func TestUnknownPathsAre404(t *testing.T) {
	h := built(t)
	for _, p := range []string{
		"/ops/none", "/api/v1/nothing", "/assets/", "/assets", "/assets/main-4f2a.js.gz", "/assets/main-4f2a.js.br",
		"/.gitkeep", "//index.html", "/../viewer.go", "/assets/../index.html", "/index.html/",
	} {
		t.Run(p, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.URL.Path = p
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusNotFound {
				t.Fatalf("status %d, want 404", w.Code)
			}
			if strings.Contains(w.Header().Get("Content-Type"), "html") {
				t.Error("a 404 must not be HTML")
			}
			if w.Header().Get("Content-Security-Policy") == "" {
				t.Error("errors carry the security headers too")
			}
		})
	}
}

func TestContentCodings(t *testing.T) {
	h := built(t)
	tests := []struct{ accept, coding string }{
		{"", ""},
		{"gzip", "gzip"},
		{"gzip, deflate, br, zstd", "br"},
		{"BR;q=0.5, gzip", "br"},
		{"br;q=0, gzip", "gzip"},
		{"br; q=0.000, gzip;q=0", ""},
		{"*", "br"},
		{"br;q=0, *", "gzip"},
		{"identity", ""},
		{"gzip;q=much", ""},
	}
	etags := map[string]string{}
	for _, tt := range tests {
		t.Run(tt.accept, func(t *testing.T) {
			res := do(h, "GET", "/assets/main-4f2a.js", "Accept-Encoding", tt.accept)
			if got := res.Header.Get("Content-Encoding"); got != tt.coding {
				t.Fatalf("coding %q, want %q", got, tt.coding)
			}
			if got := res.Header.Get("Vary"); got != "Accept-Encoding" {
				t.Errorf("Vary %q", got)
			}
			if got := res.Header.Get("Content-Type"); got != "text/javascript; charset=utf-8" {
				t.Errorf("content type %q is that of the file, not of its coding", got)
			}
			if res.ContentLength < 0 {
				t.Error("no Content-Length")
			}
			etags[tt.coding] = res.Header.Get("ETag")
			if tt.coding == "gzip" {
				z, err := gzip.NewReader(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(z); err != nil || string(b) != script {
					t.Errorf("gunzipped %q, %v", b, err)
				}
			}
		})
	}
	if etags[""] == etags["gzip"] || etags["gzip"] == etags["br"] {
		t.Errorf("codings share an ETag: %v", etags)
	}
	if res := do(h, "GET", "/favicon.svg", "Accept-Encoding", "br, gzip"); res.Header.Get("Content-Encoding") != "" || res.Header.Get("Vary") != "" {
		t.Error("a file without siblings is sent as it is")
	}
}

func TestRangeIsOfThePlainFile(t *testing.T) {
	res := do(built(t), "GET", "/assets/main-4f2a.js", "Range", "bytes=0-6", "Accept-Encoding", "br")
	if got := text(t, res); res.StatusCode != http.StatusPartialContent || got != script[:7] || res.Header.Get("Content-Encoding") != "" {
		t.Errorf("status %d, coding %q, body %q", res.StatusCode, res.Header.Get("Content-Encoding"), got)
	}
}

func TestOnlyReadMethods(t *testing.T) {
	for _, m := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		res := do(built(t), m, "/")
		if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: status %d, Allow %q", m, res.StatusCode, res.Header.Get("Allow"))
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	h := built(t)
	for _, p := range []string{"/", "/assets/main-4f2a.js", "/nothing"} {
		head := do(h, "GET", p).Header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
		} {
			if got := head.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", p, name, got, want)
			}
		}
		csp := head.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy lacks %s: %s", p, want, csp)
			}
		}
		for _, never := range []string{"unsafe", "*", "http:", "https:"} {
			if strings.Contains(csp, never) {
				t.Errorf("%s: policy allows %s: %s", p, never, csp)
			}
		}
	}
}

func TestWithoutABuiltViewer(t *testing.T) {
	h, err := newHandler(fstest.MapFS{".gitkeep": {}})
	if err != nil {
		t.Fatal(err)
	}
	res := do(h, "GET", "/")
	body := text(t, res)
	if res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "make build") {
		t.Errorf("status %d, body %q: want 503 and how to build", res.StatusCode, body)
	}
	if regexp.MustCompile(`(?i)<(style|script)|style=`).MatchString(body) {
		t.Error("the page must obey its own policy: no inline style or script")
	}
	if got := res.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("cache control %q: a viewer built later must show at once", got)
	}
	if res := do(h, "GET", "/.gitkeep"); res.StatusCode != http.StatusNotFound {
		t.Errorf("/.gitkeep: status %d", res.StatusCode)
	}
}

// The embedded files, whatever this binary was built with, obey the same rules.
func TestEmbedded(t *testing.T) {
	h := Handler()
	res := do(h, "GET", "/", "Accept-Encoding", "br")
	if !Built() {
		if res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("not built: status %d", res.StatusCode)
		}
		if os.Getenv("CI") == "true" {
			t.Fatal("the viewer is not built: run npm ci && npm run build in viewer/ before go test")
		}
		t.Skip("the viewer is not built (npm ci && npm run build in viewer/); its embedding is not tested")
	}
	if res.StatusCode != 200 || res.Header.Get("Content-Encoding") != "br" {
		t.Fatalf("status %d, coding %q: the build leaves brotli siblings", res.StatusCode, res.Header.Get("Content-Encoding"))
	}
	html := text(t, do(h, "GET", "/"))
	if regexp.MustCompile(`(?i)<style|style=|<script>|\son[a-z]+=`).MatchString(html) {
		t.Errorf("index.html has inline script or style, which the policy forbids:\n%s", html)
	}
	refs := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(html, -1)
	if len(refs) == 0 {
		t.Fatal("index.html refers to no file")
	}
	for _, ref := range refs {
		if res := do(h, "GET", ref[1]); res.StatusCode != 200 {
			t.Errorf("%s: status %d", ref[1], res.StatusCode)
		}
	}
}

// Package viewer serves the hub's web pages: the files that Vite builds from
// src into dist, embedded in the binary.
//
// Guarantees: nothing outside dist is ever served and nothing is read from
// disk at run time; a file with a hash in its name is cached for good, every
// other one is revalidated by ETag; a body is sent as brotli or gzip when the
// build left such a sibling and the client accepts it; every answer, errors
// too, carries the security headers. A binary built without the viewer says so
// at / instead of showing a blank page.
//
// The handler holds no changing state and is safe for concurrent use.
package viewer

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// all: keeps the placeholder .gitkeep, without which an empty dist would not compile.
//
//go:embed all:dist
var dist embed.FS

// contentSecurityPolicy allows the page what it ships and nothing else: no
// inline script or style, no foreign host. 'self' covers the WebSocket to the
// hub's own origin (CSP level 3), and data: the cursors and icons in CSS.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const (
	cacheForGood    = "public, max-age=31536000, immutable"
	cacheRevalidate = "no-cache"
	indexFile       = "index.html"
	// hashedDir is where Vite puts files whose names carry a hash of their content.
	hashedDir = "assets/"
)

// contentTypes is our own table, because the mime package reads whatever the
// machine has installed and a wrong type under nosniff is a blank page.
var contentTypes = map[string]string{
	".css":         "text/css; charset=utf-8",
	".glb":         "model/gltf-binary",
	".gif":         "image/gif",
	".html":        "text/html; charset=utf-8",
	".ico":         "image/x-icon",
	".jpg":         "image/jpeg",
	".js":          "text/javascript; charset=utf-8",
	".json":        "application/json",
	".ktx2":        "image/ktx2",
	".mjs":         "text/javascript; charset=utf-8",
	".png":         "image/png",
	".svg":         "image/svg+xml",
	".txt":         "text/plain; charset=utf-8",
	".wasm":        "application/wasm",
	".webmanifest": "application/manifest+json",
	".webp":        "image/webp",
	".woff2":       "font/woff2",
	".xml":         "application/xml",
}

// encodings are the pre-compressed siblings the build may leave, best first.
var encodings = []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

// Handler serves the viewer. "/" is the page; any path that is not a built
// file is a 404, so that a mistyped API address never answers with HTML.
// Without a built viewer "/" answers 503 with a page that says how to build it.
func Handler() http.Handler {
	h, err := newHandler(distFS())
	if err != nil {
		// The embedded files are part of the binary; that one of them cannot
		// be read is a defect of the build, not a condition to run with.
		panic(fmt.Sprintf("viewer: embedded files: %v", err))
	}
	return h
}

// Built reports whether the binary holds a built viewer.
func Built() bool {
	_, err := fs.Stat(distFS(), indexFile)
	return err == nil
}

func distFS() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(fmt.Sprintf("viewer: %v", err)) // "dist" is a valid constant path
	}
	return sub
}

// asset is what is known of a file before anybody asks for it.
type asset struct {
	contentType string
	cache       string
	variants    map[string]variant // by content coding; "" is the file itself
}

type variant struct {
	file string
	etag string
	size int64
}

type handler struct {
	files  fs.FS
	assets map[string]*asset // by path without the leading slash
}

// newHandler indexes files: path, type, ETag and compressed siblings.
func newHandler(files fs.FS) (*handler, error) {
	h := &handler{files: files, assets: map[string]*asset{}}
	all := map[string]variant{}
	err := fs.WalkDir(files, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") {
			return nil // .gitkeep and its like are no pages
		}
		v, err := describe(files, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		all[p] = v
		return nil
	})
	if err != nil {
		return nil, err
	}
	for p, v := range all {
		if isSibling(p, all) {
			continue
		}
		a := &asset{contentType: contentTypes[path.Ext(p)], cache: cacheRevalidate, variants: map[string]variant{"": v}}
		if a.contentType == "" {
			a.contentType = "application/octet-stream"
		}
		if strings.HasPrefix(p, hashedDir) {
			a.cache = cacheForGood
		}
		for _, e := range encodings {
			if c, ok := all[p+e.suffix]; ok {
				a.variants[e.name] = c
			}
		}
		h.assets[p] = a
	}
	return h, nil
}

func describe(files fs.FS, p string) (variant, error) {
	f, err := files.Open(p)
	if err != nil {
		return variant{}, err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return variant{}, err
	}
	return variant{file: p, etag: `"` + hex.EncodeToString(sum.Sum(nil)[:12]) + `"`, size: n}, nil
}

// isSibling reports whether p is the compressed form of another file, which is
// not addressed by its own name.
func isSibling(p string, all map[string]variant) bool {
	for _, e := range encodings {
		if base, ok := strings.CutSuffix(p, e.suffix); ok {
			if _, ok := all[base]; ok {
				return true
			}
		}
	}
	return false
}

// ServeHTTP answers GET and HEAD.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setSecurityHeaders(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed: the viewer's files are only read", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = indexFile
	}
	a, ok := h.assets[name]
	if !ok {
		if name == indexFile {
			serveNotBuilt(w, r)
			return
		}
		w.Header().Set("Cache-Control", cacheRevalidate)
		http.Error(w, "not found: the hub has no page or file at this path", http.StatusNotFound)
		return
	}
	h.serve(w, r, a)
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request, a *asset) {
	head := w.Header()
	coding := ""
	if len(a.variants) > 1 {
		head.Set("Vary", "Accept-Encoding")
		// A range counts bytes of what is sent; only the plain file makes sense to resume.
		if r.Header.Get("Range") == "" {
			coding = negotiate(r.Header.Get("Accept-Encoding"), a.variants)
		}
	}
	v := a.variants[coding]
	f, err := h.files.Open(v.file)
	if err != nil {
		http.Error(w, "internal error: an embedded file cannot be opened", http.StatusInternalServerError)
		return
	}
	defer f.Close()
	body, ok := f.(io.ReadSeeker)
	if !ok {
		http.Error(w, "internal error: an embedded file cannot be read", http.StatusInternalServerError)
		return
	}
	head.Set("Content-Type", a.contentType)
	head.Set("Cache-Control", a.cache)
	head.Set("ETag", v.etag)
	if coding != "" {
		head.Set("Content-Encoding", coding)
		head.Set("Content-Length", strconv.FormatInt(v.size, 10)) // ServeContent leaves it out for encoded bodies
	}
	// No modification time: embedded files have none, and the ETag says more.
	http.ServeContent(w, r, "", time.Time{}, body)
}

// negotiate picks the best content coding that the client accepts; "" is none.
// A coding with q=0 is refused; other weights are not weighed, since the
// smallest body is best for everybody who can read it (RFC 9110, 12.5.3).
func negotiate(accept string, have map[string]variant) string {
	accepted := map[string]bool{}
	for part := range strings.SplitSeq(accept, ",") {
		coding, params, _ := strings.Cut(part, ";")
		q := 1.0
		if k, val, ok := strings.Cut(strings.TrimSpace(params), "="); ok && strings.EqualFold(strings.TrimSpace(k), "q") {
			n, err := strconv.ParseFloat(strings.TrimSpace(val), 64)
			if err != nil {
				continue
			}
			q = n
		}
		accepted[strings.ToLower(strings.TrimSpace(coding))] = q > 0
	}
	for _, e := range encodings {
		if _, ok := have[e.name]; !ok {
			continue
		}
		if yes, named := accepted[e.name]; yes || (!named && accepted["*"]) {
			return e.name
		}
	}
	return ""
}

func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY") // for browsers older than frame-ancestors
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
}

const notBuilt = `<!doctype html>
<html lang="zh-CN">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>cityhub: viewer not built</title>
<h1>城市数据中枢 cityhub</h1>
<p>此程序在构建时未包含网页界面，数据接口不受影响。请在源代码目录中运行：</p>
<pre>make build</pre>
<p>然后重新启动 <code>bin/cityhub serve</code>。</p>
<div lang="en">
<p>This binary was built without its web pages; the data interfaces are not affected. In the source directory run:</p>
<pre>make build</pre>
<p>then start <code>bin/cityhub serve</code> again.</p>
</div>
`

func serveNotBuilt(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", contentTypes[".html"])
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(notBuilt)))
	w.WriteHeader(http.StatusServiceUnavailable)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, notBuilt) // the client is gone: nobody is left to tell
	}
}

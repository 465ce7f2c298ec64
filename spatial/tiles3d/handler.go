package tiles3d

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"

	"cityhub/spatial/city"
	"cityhub/spatial/store"
)

// Media types.
const (
	mediaGLB     = "model/gltf-binary"
	mediaJSON    = "application/json"
	mediaSubtree = "application/octet-stream"
	mediaHTML    = "text/html; charset=utf-8"
)

// ServeHTTP answers below /3dtiles:
//
//	/3dtiles                                                   the tilesets: JSON or a page
//	/3dtiles/{collection}/tileset.json
//	/3dtiles/{collection}/{root}/subtrees/{level}/{x}/{y}.subtree
//	/3dtiles/{collection}/{root}/content/{level}/{x}/{y}.glb
//
// {root} is a cell, e.g. 9-427-300.
func (t *Tilesets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "GET and HEAD only", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Vary", "Authorization, Cookie, Accept, Accept-Encoding")
	if err := t.serve(w, r); err != nil {
		t.problem(w, r, err)
	}
}

func (t *Tilesets) serve(w http.ResponseWriter, r *http.Request) error {
	rest, ok := strings.CutPrefix(r.URL.Path, "/3dtiles")
	if !ok || rest != "" && rest[0] != '/' {
		return notFound("there is nothing at %.200q", r.URL.Path)
	}
	parts := strings.Split(strings.Trim(rest, "/"), "/")
	if t.opt.Gate == nil {
		return &city.Error{Code: city.Unavailable, Message: "no gate is configured"}
	}
	var col city.Collection
	if parts[0] != "" {
		if col, ok = city.CollectionOf(parts[0]); !ok {
			return notFound("there is no tileset %.100q", parts[0])
		}
	}
	view, err := t.opt.Gate.City(r)
	if err != nil {
		return err
	}
	if parts[0] == "" {
		return t.list(w, r, view)
	}
	if len(parts) != 2 && len(parts) != 6 || len(parts) == 2 && parts[1] != "tileset.json" {
		return notFound("there is nothing at %.200q", r.URL.Path)
	}
	var c cell
	if len(parts) == 6 {
		if c, err = parseAddress(parts[1:]); err != nil {
			return err
		}
	}
	l, err := t.layout(r.Context(), view, col)
	if err != nil {
		return err
	}
	if len(parts) == 2 {
		b, err := l.tilesetJSON()
		if err != nil {
			return err
		}
		return write(w, r, mediaJSON, "no-cache", b)
	}
	at, ok := l.at[c]
	if !ok {
		return notFound("tile %v has no objects", c)
	}
	if parts[2] == "subtrees" {
		if root, _ := l.address(c); (c.level-root.level)%subtreeLevels != 0 {
			return notFound("no subtree begins at tile %v", c)
		}
		b, err := l.subtree(c)
		if err != nil {
			return err
		}
		return write(w, r, mediaSubtree, "no-cache", b)
	}
	return t.serveContent(w, r, view, col, l, &l.tiles[at])
}

// parseAddress reads {root}/{subtrees or content}/{level}/{x}/{y}.{ext}.
func parseAddress(parts []string) (cell, error) {
	bad := func(what, found, expected string) (cell, error) {
		return cell{}, &city.Error{Code: city.Invalid, Field: what, Message: fmt.Sprintf("found %.50q, expected %s", found, expected), Hint: "take addresses from tileset.json"}
	}
	ext := map[string]string{"subtrees": ".subtree", "content": ".glb"}[parts[1]]
	last, ok := strings.CutSuffix(parts[4], ext)
	if ext == "" || !ok {
		return cell{}, notFound("there is nothing at %.50q", strings.Join(parts, "/"))
	}
	numbers := append(strings.Split(parts[0], "-"), parts[2], parts[3], last)
	if len(numbers) != 6 {
		return bad("root", parts[0], "level-x-y")
	}
	var n [6]uint32
	for i, s := range numbers {
		v, err := strconv.ParseUint(s, 10, 32)
		if err != nil || len(s) > 1 && s[0] == '0' {
			return bad([]string{"root", "root", "root", "level", "x", "y"}[i], s, "a whole number")
		}
		n[i] = uint32(v)
	}
	if n[0] < minLevel || n[0] > maxLevel || n[1] >= 1<<n[0] || n[2] >= 1<<n[0] {
		return bad("root", parts[0], fmt.Sprintf("a cell of level %d to %d", minLevel, maxLevel))
	}
	c, ok := cell{int(n[0]), n[1], n[2]}.below(int(min(n[3], maxLevel+1)), n[4], n[5])
	if !ok {
		return bad("level", strings.Join(parts[2:], "/"), fmt.Sprintf("a tile down to level %d of the grid", maxLevel))
	}
	return c, nil
}

func (t *Tilesets) serveContent(w http.ResponseWriter, r *http.Request, view *city.View, col city.Collection, l *layout, x *tile) error {
	var has func(string) bool
	if match := r.Header.Get("If-None-Match"); match != "" {
		has = func(etag string) bool { return matches(match, etag) }
	}
	b, err := t.content(r.Context(), view, col, l, x, has)
	if err != nil {
		return err
	}
	cache := "private, no-cache"
	if t.opt.MaxAge > 0 {
		cache = fmt.Sprintf("private, max-age=%d", int(t.opt.MaxAge.Seconds()))
	}
	w.Header().Set("Cache-Control", cache)
	gz := acceptsGzip(r)
	setETag(w, b.etag, gz)
	if has != nil && has(b.etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	body := b.gz
	if !gz {
		if body, err = b.plain(); err != nil {
			return fmt.Errorf("tiles3d: decompress: %w", err)
		}
	}
	return send(w, r, mediaGLB, gz, body)
}

// write answers with what is small and made for this request.
func write(w http.ResponseWriter, r *http.Request, media, cache string, b []byte) error {
	sum := sha256.Sum256(b)
	etag := hex.EncodeToString(sum[:16])
	gz := len(b) > 1000 && acceptsGzip(r)
	w.Header().Set("Cache-Control", "private, "+cache)
	setETag(w, etag, gz)
	if match := r.Header.Get("If-None-Match"); match != "" && matches(match, etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if gz {
		var z strings.Builder
		zw, err := gzip.NewWriterLevel(&z, gzip.BestSpeed)
		if err == nil {
			_, err = zw.Write(b)
		}
		if err == nil {
			err = zw.Close()
		}
		if err != nil {
			return fmt.Errorf("tiles3d: compress: %w", err)
		}
		b = []byte(z.String())
	}
	return send(w, r, media, gz, b)
}

func send(w http.ResponseWriter, r *http.Request, media string, gz bool, b []byte) error {
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("X-Content-Type-Options", "nosniff")
	if gz {
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b) // a client that went away is nobody's error
	}
	return nil
}

// setETag sets the strong ETag of a representation: with gzip it is another one
// (RFC 9110 section 8.8.3.3).
func setETag(w http.ResponseWriter, etag string, gz bool) {
	if gz {
		etag += "-gz"
	}
	w.Header().Set("ETag", `"`+etag+`"`)
}

// matches reports whether an If-None-Match names an ETag, with gzip or without:
// the comparison is weak (RFC 9110 section 13.1.2).
func matches(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == "*" || tag == `"`+etag+`"` || tag == `"`+etag+`-gz"` {
			return true
		}
	}
	return false
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip", "*":
			q = strings.ReplaceAll(q, " ", "")
			return !strings.HasPrefix(q, "q=0") || strings.Trim(q, "q=0.") != ""
		}
	}
	return false
}

// entry is a tileset in the list.
type entry struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	TitleEn string `json:"titleEn"`
	Objects int    `json:"objects"`
	Href    string `json:"href"`
}

// list is the tilesets with the number of objects that the caller may see.
func (t *Tilesets) list(w http.ResponseWriter, r *http.Request, view *city.View) error {
	base := ""
	if t.opt.BaseURL != nil {
		base = t.opt.BaseURL(r)
	}
	var entries []entry
	for _, c := range city.Collections() {
		l, err := t.layout(r.Context(), view, c)
		if err != nil {
			return err
		}
		entries = append(entries, entry{c.ID, c.Title, c.TitleEn, len(l.items), base + "/3dtiles/" + c.ID + "/tileset.json"})
	}
	html := strings.Contains(r.Header.Get("Accept"), "text/html")
	switch f := r.URL.Query().Get("f"); f {
	case "json":
		html = false
	case "html":
		html = true
	case "":
	default:
		return &city.Error{Code: city.Invalid, Field: "f", Message: fmt.Sprintf("found %.50q, expected json or html", f)}
	}
	if html {
		b, err := page(entries)
		if err != nil {
			return err
		}
		return write(w, r, mediaHTML, "no-cache", b)
	}
	b, err := json.Marshal(map[string]any{"asset": map[string]string{"version": "1.1"}, "tilesets": entries})
	if err != nil {
		return fmt.Errorf("tiles3d: list: %w", err)
	}
	return write(w, r, mediaJSON, "no-cache", b)
}

// problem answers with an error.
func (t *Tilesets) problem(w http.ResponseWriter, r *http.Request, err error) {
	for _, name := range []string{"ETag", "Content-Encoding"} {
		w.Header().Del(name)
	}
	w.Header().Set("Cache-Control", "private, no-store")
	if t.opt.Problem != nil {
		t.opt.Problem(w, r, err)
		return
	}
	status, message := http.StatusInternalServerError, "internal error"
	var ce *city.Error
	var se *store.Error
	switch {
	case errors.As(err, &ce):
		message = ce.Message
		status = map[city.Code]int{
			city.Invalid: 400, city.NotFound: 404, city.Conflict: 409, city.Unauthorized: 401, city.Forbidden: 403,
			city.TooLarge: 413, city.Unavailable: 503, city.NotAcceptable: 406,
		}[ce.Code]
	case errors.As(err, &se) && se.Code == store.Unavailable:
		status, message = http.StatusServiceUnavailable, "the city model is not available now"
	default:
		t.opt.Logger.Error("3D Tiles", "path", r.URL.Path, "error", err)
	}
	http.Error(w, message, max(status, 400))
}

var _ http.Handler = (*Tilesets)(nil)

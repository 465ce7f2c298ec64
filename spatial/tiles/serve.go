package tiles

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"cityhub/spatial/city"
)

// mediaMVT is the media type of vector tiles (20-057, requirements class mvt).
const mediaMVT = "application/vnd.mapbox-vector-tile"

// omittedHeader says how many features a tile had no room for, by layer:
// "buildings=1200, roads>=40".
const omittedHeader = "Tile-Features-Omitted"

func notFound(field, message, hint string) error {
	return &city.Error{Code: city.NotFound, Field: field, Message: message, Hint: hint}
}

func invalid(field, message, hint string) error {
	return &city.Error{Code: city.Invalid, Field: field, Message: message, Hint: hint}
}

// tile serves one tile.
func (h *handler) tile(w http.ResponseWriter, r *http.Request) error {
	t, err := h.parseTile(r)
	if err != nil {
		return err
	}
	if err := wantsMVT(r); err != nil {
		return err
	}
	view, err := h.o.Gate.City(r)
	if err != nil {
		return err
	}
	c, err := h.parseContent(r, view)
	if err != nil {
		return err
	}
	live := c.live()
	key := tileKey(view, t, c)
	if live && c.at.IsZero() {
		key += "\x00" + strconv.FormatInt(h.o.Clock().UnixNano()/int64(h.o.LiveFor), 36)
	}
	s, ok := h.cache.get(key)
	if !ok {
		// The first of those who wait makes the tile, within its own request and
		// with its own View, also when its client has gone away: the others wait.
		v, err, _ := h.flight.Do(key, func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), h.o.Timeout)
			defer cancel()
			s, err := h.build(ctx, view, t, c)
			if err == nil {
				h.cache.put(key, s)
			}
			return s, err
		})
		if err != nil {
			return err
		}
		s = v.(*stored)
	}
	h.send(w, r, s, live)
	return nil
}

func tileKey(view *city.View, t tile, c content) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\x00%x\x00%s/%d/%d/%d\x00%s", view.Key, view.Index.Version(), t.set.id, t.z, t.row, t.col, strings.Join(c.layers, ","))
	if c.filter != nil {
		b.WriteString("\x00f" + c.filter.text)
	}
	if !c.at.IsZero() {
		b.WriteString("\x00t" + strconv.FormatInt(c.at.UnixNano(), 36))
	}
	return b.String()
}

// live reports whether readings decide what is shown.
func (c content) live() bool {
	if c.filter != nil && c.filter.readings {
		return true
	}
	for _, l := range c.layers {
		if observed(l) {
			return true
		}
	}
	return false
}

// build makes a tile.
func (h *handler) build(ctx context.Context, view *city.View, t tile, c content) (*stored, error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, &city.Error{Code: city.Unavailable, Message: "too many tiles are being made", Hint: "try again later", Err: ctx.Err()}
	}
	plain, omitted, err := encodeTile(ctx, view, t, c, budget{h.o.MaxFeatures, h.o.MaxBytes})
	if err != nil {
		return nil, err
	}
	s := &stored{omitted: omitted}
	sum := sha256.Sum256(plain)
	s.etag = hex.EncodeToString(sum[:12])
	if len(plain) > 0 {
		var out bytes.Buffer
		out.Grow(len(plain) / 2)
		z := h.zip.Get().(*gzip.Writer)
		defer h.zip.Put(z)
		z.Reset(&out)
		if _, err := z.Write(plain); err != nil {
			return nil, err
		}
		if err := z.Close(); err != nil {
			return nil, err
		}
		s.gzip = bytes.Clone(out.Bytes())
	}
	return s, nil
}

// encodeTile makes the bytes of a tile and the value of omittedHeader. What one
// layer does not need of its share of the budget the next ones may use.
func encodeTile(ctx context.Context, view *city.View, t tile, c content, all budget) (plain []byte, omitted string, err error) {
	b := &builder{ctx: ctx, view: view, tile: t, content: c, shape: shaper{p: t.projection()}}
	var notes []string
	for i, id := range c.layers {
		share := len(c.layers) - i
		left := budget{max(1, all.features/share), max(1, all.bytes/share)}
		b.omitted, b.atLeast = 0, false
		var l *layerWriter
		collection, isModel := city.CollectionOf(id)
		switch {
		case id == layerTerminals:
			l, err = b.terminals(left)
		case id == layerLive:
			l, err = b.live(left)
		case isModel && !c.at.IsZero():
			l, err = b.collectionAt(collection, left)
		case isModel:
			l, err = b.collection(collection, left)
		default:
			return nil, "", notFound("collectionId", "there is no collection "+id, "")
		}
		if err != nil {
			return nil, "", err
		}
		if b.omitted > 0 {
			sign := "="
			if b.atLeast {
				sign = ">="
			}
			notes = append(notes, id+sign+strconv.Itoa(b.omitted))
		}
		all.features -= l.count
		before := len(plain)
		plain = l.appendTo(plain)
		all.bytes -= len(plain) - before
	}
	return plain, strings.Join(notes, ", "), nil
}

// send answers with a tile. The two encodings of one tile have different strong
// ETags (RFC 9110, section 8.8.3.3).
func (h *handler) send(w http.ResponseWriter, r *http.Request, s *stored, live bool) {
	header := w.Header()
	h.cacheHeaders(header, live)
	if s.omitted != "" {
		header.Set(omittedHeader, s.omitted)
	}
	zipped := acceptsGzip(r)
	etag := `"` + s.etag + `"`
	if zipped && len(s.gzip) > 0 {
		etag = `"` + s.etag + `-gzip"`
	}
	header.Set("ETag", etag)
	if matches(r.Header.Values("If-None-Match"), s.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if len(s.gzip) == 0 {
		w.WriteHeader(http.StatusNoContent) // 20-057, 7.1.3: nothing is there
		return
	}
	header.Set("Content-Type", mediaMVT)
	if zipped {
		header.Set("Content-Encoding", "gzip")
		header.Set("Content-Length", strconv.Itoa(len(s.gzip)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(s.gzip) // the client has gone: nobody is left to tell
		}
		return
	}
	if r.Method == http.MethodHead {
		return
	}
	z := h.plain.Get().(*gzip.Reader)
	defer h.plain.Put(z)
	err := z.Reset(bytes.NewReader(s.gzip))
	if err == nil {
		_, err = io.Copy(w, z)
	}
	if err != nil && r.Context().Err() == nil {
		h.o.Logger.Warn("tile not sent whole", slog.String("path", r.URL.EscapedPath()), slog.Any("err", err))
	}
}

func (h *handler) cacheHeaders(header http.Header, live bool) {
	scope := "private"
	if h.o.Public {
		scope = "public"
		header.Add("Vary", "Accept-Encoding")
	} else {
		header.Add("Vary", "Authorization, Cookie, Accept-Encoding")
	}
	age := h.o.MaxAge
	if live {
		age = min(h.o.LiveFor, time.Hour)
	}
	if seconds := int64(age / time.Second); seconds > 0 {
		header.Set("Cache-Control", scope+", max-age="+strconv.FormatInt(seconds, 10))
	} else {
		header.Set("Cache-Control", scope+", no-cache")
	}
}

// matches reports whether If-None-Match names the tile in either encoding.
func matches(values []string, etag string) bool {
	for _, v := range values {
		for _, e := range strings.Split(v, ",") {
			e = strings.Trim(strings.TrimPrefix(strings.TrimSpace(e), "W/"), `"`)
			if e == "*" || strings.TrimSuffix(e, "-gzip") == etag {
				return true
			}
		}
	}
	return false
}

// acceptsGzip reads Accept-Encoding (RFC 9110, section 12.5.3).
func acceptsGzip(r *http.Request) bool {
	for _, v := range r.Header.Values("Accept-Encoding") {
		for _, e := range strings.Split(v, ",") {
			name, q, _ := strings.Cut(e, ";")
			name = strings.ToLower(strings.TrimSpace(name))
			if name != "gzip" && name != "*" {
				continue
			}
			_, weight, has := strings.Cut(q, "=")
			if f, err := strconv.ParseFloat(strings.TrimSpace(weight), 64); has && err == nil && f == 0 {
				return false
			}
			return true
		}
	}
	return false
}

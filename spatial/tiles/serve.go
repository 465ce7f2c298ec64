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

// parseTile reads {set}/{z}/{row}/{col}.
func (h *handler) parseTile(r *http.Request) (tile, error) {
	set, err := pathSet(r)
	if err != nil {
		return tile{}, err
	}
	col := r.PathValue("col")
	for _, suffix := range []string{".mvt", ".pbf"} {
		if s, ok := strings.CutSuffix(col, suffix); ok {
			col = s
			break
		}
	}
	t := tile{set: set}
	for _, p := range []struct {
		field, text string
		to          *int
	}{{"tileMatrix", r.PathValue("z"), &t.z}, {"tileRow", r.PathValue("row"), &t.row}, {"tileCol", col, &t.col}} {
		n, err := strconv.ParseInt(p.text, 10, 32)
		if err != nil {
			return tile{}, invalid(p.field, fmt.Sprintf("found %q, expected a whole number", p.text), "the path is …/tiles/{tileMatrixSetId}/{tileMatrix}/{tileRow}/{tileCol}, the row before the column")
		}
		*p.to = int(n)
	}
	last := min(h.o.MaxZoom, set.lastLevel)
	if t.z < set.firstLevel || t.z > last {
		return tile{}, notFound("tileMatrix", fmt.Sprintf("level %d of %s is not served", t.z, set.id), fmt.Sprintf("levels are %d to %d", set.firstLevel, last))
	}
	cols, rows := set.size(t.z)
	if t.row < 0 || t.row >= rows || t.col < 0 || t.col >= cols {
		return tile{}, notFound("tileRow", fmt.Sprintf("row %d, column %d lie outside level %d of %s", t.row, t.col, t.z, set.id),
			fmt.Sprintf("rows are 0 to %d, columns 0 to %d; the row comes before the column", rows-1, cols-1))
	}
	return t, nil
}

func pathSet(r *http.Request) (matrixSet, error) {
	id := r.PathValue("set")
	set, ok := matrixSetOf(id)
	if !ok {
		return set, notFound("tileMatrixSetId", fmt.Sprintf("there is no tile matrix set %q", cut(id, 80)), "/ogc/tileMatrixSets lists them")
	}
	return set, nil
}

// wantsMVT checks f and Accept.
func wantsMVT(r *http.Request) error {
	switch f := r.URL.Query().Get("f"); f {
	case "mvt", "pbf", mediaMVT:
		return nil
	case "":
	default:
		return invalid("f", fmt.Sprintf("found %q, expected mvt", cut(f, 80)), "tiles are Mapbox vector tiles only")
	}
	accept := r.Header.Values("Accept")
	if len(accept) == 0 {
		return nil
	}
	for _, a := range strings.Split(strings.Join(accept, ","), ",") {
		media, _, _ := strings.Cut(strings.TrimSpace(strings.ToLower(a)), ";")
		switch strings.TrimSpace(media) {
		case mediaMVT, "application/x-protobuf", "application/octet-stream", "application/*", "*/*", "":
			return nil
		}
	}
	return &city.Error{Code: city.NotAcceptable, Field: "Accept", Message: "tiles are served as " + mediaMVT, Hint: "name it in Accept, or add f=mvt"}
}

// pathLayer checks {collection}; empty on the paths of the whole city.
func pathLayer(r *http.Request) (string, error) {
	id := r.PathValue("collection")
	if id == "" || known(id) {
		return id, nil
	}
	return "", notFound("collectionId", fmt.Sprintf("there is no collection %q with tiles", cut(id, 80)), "collections with tiles are "+strings.Join(layerIDs(), ", "))
}

func known(layer string) bool {
	if observed(layer) {
		return true
	}
	_, ok := city.CollectionOf(layer)
	return ok
}

// layerIDs are all layers, in the order in which they are drawn in lists.
func layerIDs() []string {
	var list []string
	for _, c := range city.Collections() {
		list = append(list, c.ID)
	}
	return append(list, layerTerminals, layerLive)
}

// parseContent reads {collection} and the query.
func (h *handler) parseContent(r *http.Request, view *city.View) (content, error) {
	var c content
	q := r.URL.Query()
	layers, err := parseLayers(r)
	if err != nil {
		return c, err
	}
	c.layers = layers
	if text := q.Get("datetime"); text != "" {
		if c.at, err = parseTime(text); err != nil {
			return c, err
		}
	}
	text, lang := q.Get("filter"), q.Get("filter-lang")
	switch lang {
	case "", "cql2-text", "cql2-json":
	default:
		return c, invalid("filter-lang", fmt.Sprintf("found %q, expected cql2-text or cql2-json", cut(lang, 80)), "")
	}
	if text != "" {
		if c.filter, err = parseFilter(r.Context(), view, text, lang); err != nil {
			return c, err
		}
	}
	return c, nil
}

// parseLayers are the layers of a request: the collection of the path, or those
// of the parameter collections (20-057, collections-selection), or the model.
func parseLayers(r *http.Request) ([]string, error) {
	one, err := pathLayer(r)
	if err != nil {
		return nil, err
	}
	if one != "" {
		return []string{one}, nil
	}
	text := r.URL.Query().Get("collections")
	if text == "" {
		var list []string
		for _, c := range city.Collections() {
			list = append(list, c.ID)
		}
		return list, nil
	}
	asked := map[string]bool{}
	for _, id := range strings.Split(text, ",") {
		if !known(id) {
			return nil, invalid("collections", fmt.Sprintf("there is no collection %q", cut(id, 80)), "collections with tiles are "+strings.Join(layerIDs(), ", "))
		}
		asked[id] = true
	}
	var list []string
	for _, id := range layerIDs() { // one order, so that equal questions are one tile
		if asked[id] {
			list = append(list, id)
		}
	}
	return list, nil
}

// parseTime reads a datetime (OGC 17-069r4, section 7.15.5): of an interval its
// end; the zero time is now.
func parseTime(text string) (time.Time, error) {
	_, end, interval := strings.Cut(text, "/")
	if !interval {
		end = text
	} else if end == ".." || end == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, end)
	if err != nil {
		if t, err = time.Parse(time.DateOnly, end); err != nil {
			return t, invalid("datetime", fmt.Sprintf("found %q, expected a time of RFC 3339", cut(text, 80)), "e.g. 2026-05-01T08:00:00Z, or an interval from/to, of which the end counts")
		}
	}
	return t.UTC(), nil
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

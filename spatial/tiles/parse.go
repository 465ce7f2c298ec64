package tiles

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cityhub/spatial/city"
)

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

package tiles

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/paulmach/orb"

	"cityhub/spatial/city"
	"cityhub/spatial/store"
)

// The media types of metadata.
const (
	mediaJSON     = "application/json"
	mediaTileJSON = "application/vnd.mapbox.tile+json"
	mediaStyle    = "application/vnd.mapbox.style+json"
)

// Link relations of 20-057, table 3.
const (
	relTileSets = "http://www.opengis.net/def/rel/ogc/1.0/tilesets-vector"
	relScheme   = "http://www.opengis.net/def/rel/ogc/1.0/tiling-scheme"
	relSchemes  = "http://www.opengis.net/def/rel/ogc/1.0/tiling-schemes"
	relDataset  = "http://www.opengis.net/def/rel/ogc/1.0/dataset"
	relGeodata  = "http://www.opengis.net/def/rel/ogc/1.0/geodata"
)

// Link is a link of OGC API - Common.
type Link struct {
	Rel       string `json:"rel"`
	Type      string `json:"type,omitempty"`
	Title     string `json:"title,omitempty"`
	Href      string `json:"href"`
	Templated bool   `json:"templated,omitempty"`
}

// answer writes JSON of a media type.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, media string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", media)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	h.cacheHeaders(header, false)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client has gone: nobody is left to tell
	}
	return nil
}

// form is the representation that is asked for: json or one of others.
func form(r *http.Request, others ...string) (string, error) {
	f := r.URL.Query().Get("f")
	for _, o := range append(others, "json") {
		if f == o {
			return f, nil
		}
	}
	if f != "" {
		return "", invalid("f", fmt.Sprintf("found %q, expected one of %s", cut(f, 80), strings.Join(append(others, "json"), ", ")), "")
	}
	accept := strings.ToLower(r.Header.Get("Accept"))
	for _, o := range others {
		if o == "tilejson" && strings.Contains(accept, mediaTileJSON) {
			return o, nil
		}
	}
	return "json", nil
}

func (h *handler) matrixSets(w http.ResponseWriter, r *http.Request) error {
	if _, err := form(r); err != nil {
		return err
	}
	base := h.o.BaseURL(r)
	var list []map[string]any
	for _, m := range matrixSets() {
		item := map[string]any{"id": m.id, "title": m.title, "crs": m.crs, "links": []Link{{Rel: "self", Type: mediaJSON, Title: m.titleZh, Href: base + "/ogc/tileMatrixSets/" + m.id}}}
		if m.uri != "" {
			item["uri"] = m.uri
		}
		list = append(list, item)
	}
	return h.answer(w, r, mediaJSON, map[string]any{"tileMatrixSets": list, "links": []Link{{Rel: "self", Type: mediaJSON, Href: base + "/ogc/tileMatrixSets"}}})
}

func (h *handler) matrixSet(w http.ResponseWriter, r *http.Request) error {
	if _, err := form(r); err != nil {
		return err
	}
	set, err := pathSet(r)
	if err != nil {
		return err
	}
	return h.answer(w, r, mediaJSON, set.definition())
}

// place is where a tile set has its resources.
type place struct {
	path   string     // e.g. /ogc/collections/buildings/tiles
	query  url.Values // that every link carries on
	layers []string
	title  string
	one    string // the collection; empty: the whole city
}

func placeOf(r *http.Request) (place, error) {
	layers, err := parseLayers(r)
	if err != nil {
		return place{}, err
	}
	p := place{path: "/ogc/tiles", query: url.Values{}, layers: layers, title: "城市信息模型 City model"}
	if p.one = r.PathValue("collection"); p.one != "" {
		p.path = "/ogc/collections/" + p.one + "/tiles"
		zh, en := layerTitles(p.one)
		p.title = zh + " " + en
	}
	for _, name := range []string{"collections", "datetime", "filter", "filter-lang"} {
		if v := r.URL.Query().Get(name); v != "" {
			p.query.Set(name, v)
		}
	}
	return p, nil
}

// url is the URL of a resource of the tile set with the query carried on.
func (p place) url(base, below string, more ...string) string {
	q := url.Values{}
	for k, v := range p.query {
		q[k] = v
	}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	u := base + p.path + below
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	return u
}

func layerTitles(id string) (zh, en string) {
	switch id {
	case layerTerminals:
		return "终端", "Terminals"
	case layerLive:
		return "实时观测对象", "Observed objects"
	}
	c, _ := city.CollectionOf(id)
	return c.Title, c.TitleEn
}

func (h *handler) tileSets(w http.ResponseWriter, r *http.Request) error {
	p, err := placeOf(r)
	if err != nil {
		return err
	}
	if _, err := form(r); err != nil {
		return err
	}
	if _, err := h.o.Gate.City(r); err != nil {
		return err
	}
	base := h.o.BaseURL(r)
	list := []map[string]any{}
	for _, m := range matrixSets() {
		item := map[string]any{"title": p.title + " (" + m.id + ")", "dataType": "vector", "crs": m.crs, "links": []Link{
			{Rel: "self", Type: mediaJSON, Href: p.url(base, "/"+m.id)},
			{Rel: relScheme, Type: mediaJSON, Href: base + "/ogc/tileMatrixSets/" + m.id},
		}}
		if m.uri != "" {
			item["tileMatrixSetURI"] = m.uri
		}
		list = append(list, item)
	}
	return h.answer(w, r, mediaJSON, map[string]any{"tilesets": list, "links": []Link{{Rel: "self", Type: mediaJSON, Href: p.url(base, "")}}})
}

func (h *handler) tileSet(w http.ResponseWriter, r *http.Request) error {
	p, err := placeOf(r)
	if err != nil {
		return err
	}
	set, err := pathSet(r)
	if err != nil {
		return err
	}
	f, err := form(r, "tilejson")
	if err != nil {
		return err
	}
	view, err := h.o.Gate.City(r)
	if err != nil {
		return err
	}
	if _, err := h.parseContent(r, view); err != nil {
		return err // a tile set whose tiles could not be asked for
	}
	extent, known, err := extentOf(r.Context(), view, p.layers)
	if err != nil {
		return err
	}
	fields, err := layerFields(r.Context(), view, p.layers)
	if err != nil {
		return err
	}
	if f == "tilejson" {
		if set.geographic {
			return &city.Error{Code: city.NotAcceptable, Field: "f", Message: "TileJSON describes tiles in Web Mercator only", Hint: "ask for the tile set WebMercatorQuad, or for f=json"}
		}
		return h.answer(w, r, mediaTileJSON, h.tileJSON(h.o.BaseURL(r), p, extent, known, fields))
	}
	return h.answer(w, r, mediaJSON, h.describe(h.o.BaseURL(r), p, set, extent, known, fields))
}

// extentOf is the rectangle around the layers. That of terminals is not known
// without reading them all.
func extentOf(ctx context.Context, view *city.View, layers []string) (orb.Bound, bool, error) {
	var all orb.Bound
	known := false
	for _, id := range layers {
		var e store.BBox
		var err error
		if c, ok := city.CollectionOf(id); ok {
			e, err = view.Extent(ctx, c)
		} else if id == layerLive {
			e, err = view.ExtentObserved(ctx)
		} else {
			continue
		}
		if err != nil {
			return all, false, err
		}
		if e.Empty || e.West > e.East {
			continue
		}
		b := orb.Bound{Min: orb.Point{e.West, e.South}, Max: orb.Point{e.East, e.North}}
		if known {
			b = all.Union(b)
		}
		all, known = b, true
	}
	return all, known, nil
}

// field is an attribute of a layer.
type field struct{ name, kind, describes string }

// layerFields are the attributes that every tile of a layer may have. Those of the
// source come on top of them from attributeZoom on.
func layerFields(ctx context.Context, view *city.View, layers []string) (map[string][]field, error) {
	var properties []city.Property
	out := map[string][]field{}
	for _, id := range layers {
		list := []field{{"id", "string", "identifier in the source"}}
		if id == layerTerminals {
			list = append(list, field{"name", "string", "名称"}, field{"name_en", "string", "name"}, field{"domain", "string", "domain"},
				field{"district", "string", "administrative code"}, field{"state", "string", "state"}, field{"simulated", "boolean", "readings are made up"},
				field{"height", "number", "m"})
		} else {
			list = append(list, field{"dataset", "string", "source data set"}, field{"class", "string", "element class"}, field{"type", "string", "type in CityGML"},
				field{"name", "string", "name"}, field{"height", "number", "m"})
		}
		if observed(id) {
			if properties == nil {
				var err error
				if properties, err = view.Observed.Properties(ctx); err != nil {
					return nil, err
				}
			}
			for _, p := range properties {
				kind, unit := "number", p.UnitSymbol
				if p.Text {
					kind = "string"
				}
				list = append(list, field{p.Name, kind, strings.TrimSpace(p.Title + " " + unit)}, field{p.Name + "_time", "string", "time of the reading"}, field{p.Name + "_quality", "string", "quality of the reading"})
			}
		}
		out[id] = list
	}
	return out, nil
}

// tileJSON is TileJSON 3.0.0.
func (h *handler) tileJSON(base string, p place, extent orb.Bound, known bool, fields map[string][]field) map[string]any {
	var layers []map[string]any
	for _, id := range p.layers {
		f := map[string]string{}
		for _, x := range fields[id] {
			f[x.name] = x.kind
			if x.describes != "" {
				f[x.name] += ": " + x.describes
			}
		}
		zh, en := layerTitles(id)
		layers = append(layers, map[string]any{"id": id, "description": zh + " " + en, "fields": f, "minzoom": 0, "maxzoom": h.o.MaxZoom})
	}
	doc := map[string]any{
		"tilejson": "3.0.0", "name": p.title, "version": "1.0.0", "scheme": "xyz", "minzoom": 0, "maxzoom": h.o.MaxZoom,
		"tiles":         []string{p.url(base, "/WebMercatorQuad/{z}/{y}/{x}", "f", "mvt")},
		"vector_layers": layers,
	}
	if h.o.Attribution != "" {
		doc["attribution"] = h.o.Attribution
	}
	if known {
		doc["bounds"] = []float64{extent.Min[0], extent.Min[1], extent.Max[0], extent.Max[1]}
		c := extent.Center()
		doc["center"] = []float64{c[0], c[1], 12}
	}
	return doc
}

// describe is the tile set metadata of 17-083r4, section 8 (tileSet.json).
func (h *handler) describe(base string, p place, set matrixSet, extent orb.Bound, known bool, fields map[string][]field) map[string]any {
	links := []Link{
		{Rel: "self", Type: mediaJSON, Href: p.url(base, "/"+set.id)},
		{Rel: relScheme, Type: mediaJSON, Href: base + "/ogc/tileMatrixSets/" + set.id},
		{Rel: "item", Type: mediaMVT, Href: p.url(base, "/"+set.id+"/{tileMatrix}/{tileRow}/{tileCol}", "f", "mvt"), Templated: true},
	}
	if p.one == "" {
		links = append(links, Link{Rel: relDataset, Type: mediaJSON, Href: base + "/ogc"})
	} else {
		links = append(links, Link{Rel: relGeodata, Type: mediaJSON, Href: base + "/ogc/collections/" + p.one})
	}
	if !set.geographic {
		links = append(links, Link{Rel: "alternate", Type: mediaTileJSON, Title: "TileJSON 3.0", Href: p.url(base, "/"+set.id, "f", "tilejson")})
	}
	first, last := set.firstLevel, min(h.o.MaxZoom, set.lastLevel)
	var layers []map[string]any
	for _, id := range p.layers {
		properties := map[string]any{}
		for _, f := range fields[id] {
			properties[f.name] = map[string]any{"type": f.kind, "description": f.describes}
		}
		zh, en := layerTitles(id)
		l := map[string]any{"id": id, "title": zh + " " + en, "dataType": "vector", "minTileMatrix": strconv.Itoa(first), "maxTileMatrix": strconv.Itoa(last),
			"propertiesSchema": map[string]any{"type": "object", "properties": properties},
			"links":            []Link{{Rel: relGeodata, Type: mediaJSON, Href: base + "/ogc/collections/" + id}}}
		if id == layerTerminals {
			l["geometryDimension"] = 0
		}
		layers = append(layers, l)
	}
	doc := map[string]any{"title": p.title, "dataType": "vector", "crs": set.crs, "mediaTypes": []string{mediaMVT}, "layers": layers, "links": links}
	if set.uri != "" {
		doc["tileMatrixSetURI"] = set.uri
	}
	if h.o.Attribution != "" {
		doc["description"] = h.o.Attribution
	}
	world := orb.Bound{Min: orb.Point{-180, -90}, Max: orb.Point{180, 90}}
	if known {
		world = extent
		doc["boundingBox"] = map[string]any{
			"lowerLeft": []float64{extent.Min[0], extent.Min[1]}, "upperRight": []float64{extent.Max[0], extent.Max[1]},
			"crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84", "orderedAxes": []string{"Lon", "Lat"},
		}
		c := extent.Center()
		doc["centerPoint"] = map[string]any{"coordinates": []float64{c[0], c[1]}, "crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84", "tileMatrix": strconv.Itoa(min(12, last))}
	}
	var limits []map[string]any
	for z := first; z <= last; z++ {
		minRow, maxRow, minCol, maxCol := set.limits(z, world)
		limits = append(limits, map[string]any{"tileMatrix": strconv.Itoa(z), "minTileRow": minRow, "maxTileRow": maxRow, "minTileCol": minCol, "maxTileCol": maxCol})
	}
	doc["tileMatrixSetLimits"] = limits
	return doc
}

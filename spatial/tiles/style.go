package tiles

import (
	"fmt"
	"net/http"
	"strings"

	"cityhub/spatial/city"
)

// palette is what a style colours with.
type palette struct {
	paper, district, building, buildingEdge, road, water, underground, component, other, terminal, live string
}

// light and dark are the colours of the hub's own pages.
func palettes() map[string]palette {
	return map[string]palette{
		"light": {"#efe9dc", "#b9b09e", "#ddd5c5", "#b9b09e", "#ffffff", "#b9cbd0", "#8d3f74", "#6d685d", "#f8f4ea", "#2c5f9e", "#ad2d1b"},
		"dark":  {"#131517", "#4a4f55", "#2b3036", "#454c54", "#3a4047", "#22363d", "#c58bb4", "#9a9488", "#1a1d20", "#7fb0ea", "#f08a78"},
	}
}

// audience is for whom a style is made, and which layers it draws.
type audience struct {
	id, zh, en string
	layers     []string // in the order in which they are drawn
}

// audiences are the readers of the hub's maps: planners see everything, screens
// of the operations centre what is measured, visitors the city above ground.
func audiences() []audience {
	return []audience{
		{"planner", "规划", "Planners", []string{"others", "districts", "water", "underground", "roads", "buildings", "components", layerLive, layerTerminals}},
		{"screen", "大屏", "Screens", []string{"others", "districts", "water", "roads", "buildings", layerLive, layerTerminals}},
		{"visitor", "游客", "Visitors", []string{"others", "water", "roads", "buildings"}},
	}
}

func (h *handler) styles(w http.ResponseWriter, r *http.Request) error {
	if _, err := form(r); err != nil {
		return err
	}
	base := h.o.BaseURL(r)
	var list []map[string]any
	for _, a := range audiences() {
		for _, shade := range []string{"light", "dark"} {
			id := a.id + "-" + shade
			list = append(list, map[string]any{"id": id, "title": a.zh + " " + a.en + ", " + shade, "links": []Link{
				{Rel: "stylesheet", Type: mediaStyle, Href: base + "/ogc/styles/" + id},
			}})
		}
	}
	return h.answer(w, r, mediaJSON, map[string]any{"default": "planner-light", "styles": list, "links": []Link{{Rel: "self", Type: mediaJSON, Href: base + "/ogc/styles"}}})
}

// style serves a MapLibre style, version 8. It needs nothing from outside: no
// glyphs and no sprite, and so no labels.
func (h *handler) style(w http.ResponseWriter, r *http.Request) error {
	if _, err := form(r, "mbs"); err != nil {
		return err
	}
	id := r.PathValue("style")
	name, shade, _ := strings.Cut(id, "-")
	p, ok := palettes()[shade]
	for _, a := range audiences() {
		if ok && a.id == name {
			return h.answer(w, r, mediaStyle, styleOf(h.o.BaseURL(r), a, shade, p))
		}
	}
	return notFound("styleId", fmt.Sprintf("there is no style %q", cut(id, 80)), "/ogc/styles lists them")
}

// The sources of a style: tiles of the model, which clients may keep, and those
// with readings, which they may not.
const (
	sourceModel = "model"
	sourceLive  = "observed"
)

func styleOf(base string, a audience, shade string, p palette) map[string]any {
	tileJSON := base + "/ogc/tiles/WebMercatorQuad?f=tilejson"
	var model, live []string
	layers := []map[string]any{{"id": "paper", "type": "background", "paint": map[string]any{"background-color": p.paper}}}
	for _, id := range a.layers {
		if observed(id) {
			live = append(live, id)
		} else {
			model = append(model, id)
		}
		layers = append(layers, styleLayers(id, p)...)
	}
	sources := map[string]any{sourceModel: map[string]any{"type": "vector", "url": tileJSON + "&collections=" + strings.Join(model, ",")}}
	if len(live) > 0 {
		sources[sourceLive] = map[string]any{"type": "vector", "url": tileJSON + "&collections=" + strings.Join(live, ",")}
	}
	return map[string]any{"version": 8, "name": a.zh + " " + a.en + ", " + shade, "sources": sources, "layers": layers,
		"metadata": map[string]any{"cityhub:audience": a.id, "cityhub:shade": shade}}
}

// styleLayers draw one layer of tiles. A filter on the geometry keeps lines of
// polygons from being filled and points from being stroked.
func styleLayers(id string, p palette) []map[string]any {
	source := sourceModel
	if observed(id) {
		source = sourceLive
	}
	layer := func(kind, geometry string, paint map[string]any) map[string]any {
		var filter any = []any{"==", []any{"geometry-type"}, geometry}
		if id == "others" {
			// Districts are among them, and have a layer of their own.
			filter = []any{"all", filter, []any{"!=", []any{"get", "type"}, city.TypeDistrict}}
		}
		return map[string]any{"id": id + "-" + kind, "type": kind, "source": source, "source-layer": id, "filter": filter, "paint": paint}
	}
	width := func(at10, at18 float64) []any {
		return []any{"interpolate", []any{"exponential", 1.5}, []any{"zoom"}, 10, at10, 18, at18}
	}
	fill := func(color string, opacity float64) map[string]any {
		return layer("fill", "Polygon", map[string]any{"fill-color": color, "fill-opacity": opacity})
	}
	line := func(color string, at10, at18 float64) map[string]any {
		return layer("line", "LineString", map[string]any{"line-color": color, "line-width": width(at10, at18)})
	}
	circle := func(color string, at10, at18 float64) map[string]any {
		return layer("circle", "Point", map[string]any{"circle-color": color, "circle-radius": width(at10, at18), "circle-stroke-color": p.paper, "circle-stroke-width": 1})
	}
	switch id {
	case "others":
		return []map[string]any{fill(p.other, 0.6), line(p.district, 0.3, 1)}
	case "districts":
		return []map[string]any{layer("line", "Polygon", map[string]any{"line-color": p.district, "line-width": width(0.8, 3), "line-dasharray": []int{4, 2}})}
	case "water":
		return []map[string]any{fill(p.water, 1), line(p.water, 0.5, 8), circle(p.water, 1, 4)}
	case "underground":
		return []map[string]any{fill(p.underground, 0.25), line(p.underground, 0.3, 3), circle(p.underground, 0.5, 4)}
	case "roads":
		return []map[string]any{fill(p.road, 0.9), line(p.road, 0.4, 12), circle(p.road, 0.5, 3)}
	case "buildings":
		return []map[string]any{layer("fill", "Polygon", map[string]any{"fill-color": p.building, "fill-outline-color": p.buildingEdge}), circle(p.building, 0.5, 3)}
	case "components":
		return []map[string]any{fill(p.component, 0.5), line(p.component, 0.3, 2), circle(p.component, 0.5, 4)}
	case layerLive:
		return []map[string]any{fill(p.live, 0.35), line(p.live, 1, 4), circle(p.live, 2, 6)}
	}
	return []map[string]any{circle(p.terminal, 2, 7)}
}

package edr

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"sort"
	"strings"

	"github.com/paulmach/orb"

	"cityhub/spatial/city"
)

// observations is the collection of all observed properties.
const observations = "observations"

// Link is a link of OGC API - Common.
type Link struct {
	Rel       string         `json:"rel"`
	Type      string         `json:"type,omitempty"`
	Title     string         `json:"title,omitempty"`
	Href      string         `json:"href"`
	Templated bool           `json:"templated,omitempty"`
	Variables map[string]any `json:"variables,omitempty"`
}

// The CRSs that are served.
const (
	crs84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
	wgs84 = "http://www.opengis.net/def/crs/EPSG/0/4326"
	cgcs  = "http://www.opengis.net/def/crs/EPSG/0/4490"
)

// crsDetails are the CRSs as well-known text (OGC 18-010r7).
func crsDetails() []map[string]any {
	wkt := func(name, datum, ellipsoid, axes, id string) string {
		const degree = `ANGLEUNIT["degree",0.0174532925199433]`
		return `GEOGCRS["` + name + `",DATUM["` + datum + `",ELLIPSOID[` + ellipsoid + `,LENGTHUNIT["metre",1]]],PRIMEM["Greenwich",0,` + degree + `],CS[ellipsoidal,2],` + axes + degree + `,ID[` + id + `]]`
	}
	const (
		lonLat = `AXIS["geodetic longitude (Lon)",east,ORDER[1]],AXIS["geodetic latitude (Lat)",north,ORDER[2]],`
		latLon = `AXIS["geodetic latitude (Lat)",north,ORDER[1]],AXIS["geodetic longitude (Lon)",east,ORDER[2]],`
		wgs    = `"WGS 84",6378137,298.257223563`
	)
	return []map[string]any{
		{"crs": "CRS84", "wkt": wkt("WGS 84 (CRS84)", "World Geodetic System 1984", wgs, lonLat, `"OGC","CRS84"`)},
		{"crs": "EPSG:4326", "wkt": wkt("WGS 84", "World Geodetic System 1984", wgs, latLon, `"EPSG",4326`)},
		{"crs": "EPSG:4490", "wkt": wkt("China Geodetic Coordinate System 2000", "China 2000", `"CGCS2000",6378137,298.257222101`, latLon, `"EPSG",4490`)},
	}
}

// formats are the values of f, the first the default.
func formats() []string { return []string{"CoverageJSON", "GeoJSON", "CSV"} }

// queries are the query types with what they take.
func queryTypes() []string {
	return []string{"position", "radius", "area", "cube", "trajectory", "corridor", "locations"}
}

func conformance() []string {
	const edr = "http://www.opengis.net/spec/ogcapi-edr-1/1.1/conf/"
	return []string{
		"http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core", "http://www.opengis.net/spec/ogcapi-common-2/1.0/conf/collections",
		edr + "core", edr + "collections", edr + "json", edr + "geojson", edr + "edr-geojson", edr + "covjson", edr + "oas30",
	}
}

func (h *handler) landing(w http.ResponseWriter, r *http.Request) error {
	base := h.o.BaseURL(r)
	return answer(w, r, "application/json", map[string]any{
		"title":       "观测数据 Observations",
		"description": "按位置、区域、路线查询观测数据 Observations by place, area and way (OGC API - EDR 1.1)",
		"links": []Link{
			{Rel: "self", Type: "application/json", Href: base + "/ogc/edr"},
			{Rel: "service-desc", Type: "application/vnd.oai.openapi+json;version=3.0", Href: base + "/ogc/api"},
			{Rel: "conformance", Type: "application/json", Href: base + "/ogc/edr/conformance"},
			{Rel: "data", Type: "application/json", Href: base + "/ogc/edr/collections"},
		},
	})
}

func (h *handler) conformance(w http.ResponseWriter, r *http.Request) error {
	return answer(w, r, "application/json", map[string]any{"conformsTo": conformance()})
}

func (h *handler) collections(w http.ResponseWriter, r *http.Request) error {
	view, err := h.o.Gate.City(r)
	if err != nil {
		return err
	}
	properties, err := view.Observed.Properties(r.Context())
	if err != nil {
		return err
	}
	streams, err := view.Observed.Datastreams(r.Context(), city.Select{})
	if err != nil {
		return err
	}
	extents := extentsOf(streams)
	base := h.o.BaseURL(r)
	list := []map[string]any{h.describe(base, observations, properties, extents[""])}
	for _, p := range properties {
		if p.Name != observations {
			list = append(list, h.describe(base, p.Name, []city.Property{p}, extents[p.Name]))
		}
	}
	return answer(w, r, "application/json", map[string]any{"collections": list, "links": []Link{{Rel: "self", Type: "application/json", Href: base + "/ogc/edr/collections"}}})
}

func (h *handler) collection(w http.ResponseWriter, r *http.Request) error {
	view, err := h.o.Gate.City(r)
	if err != nil {
		return err
	}
	id, properties, err := collectionOf(r.Context(), view, r.PathValue("collection"))
	if err != nil {
		return err
	}
	var s city.Select
	if id != observations {
		s.Property = id
	}
	streams, err := view.Observed.Datastreams(r.Context(), s)
	if err != nil {
		return err
	}
	return answer(w, r, "application/json", h.describe(h.o.BaseURL(r), id, properties, extentsOf(streams)[""]))
}

// collectionOf finds a collection and the properties in it.
func collectionOf(ctx context.Context, view *city.View, id string) (string, []city.Property, error) {
	properties, err := view.Observed.Properties(ctx)
	if err != nil {
		return "", nil, err
	}
	if id == observations {
		return id, properties, nil
	}
	for _, p := range properties {
		if p.Name == id {
			return id, []city.Property{p}, nil
		}
	}
	return "", nil, notFound("collectionId", "there is no collection "+cut(id), "/ogc/edr/collections lists them")
}

// extentsOf are the rectangles around the stations by property, and of all under "".
func extentsOf(streams []*city.Datastream) map[string]orb.Bound {
	out := map[string]orb.Bound{}
	for _, ds := range streams {
		if !placed(ds) {
			continue
		}
		p := orb.Point{ds.Lon, ds.Lat}
		for _, name := range []string{"", ds.Property} {
			if b, ok := out[name]; ok {
				out[name] = b.Extend(p)
			} else {
				out[name] = p.Bound()
			}
		}
	}
	return out
}

// describe is a collection of 19-086r6, section 8.
func (h *handler) describe(base, id string, properties []city.Property, extent orb.Bound) map[string]any {
	title, about := "观测数据 Observations", "全部观测属性 all observed properties"
	if id != observations {
		title = strings.TrimSpace(properties[0].Title + " " + properties[0].TitleEn)
		about = properties[0].Definition
	}
	path := base + "/ogc/edr/collections/" + url.PathEscape(id)
	queries := map[string]any{}
	for _, q := range queryTypes() {
		v := map[string]any{"title": q, "query_type": q, "output_formats": formats(), "default_output_format": formats()[0],
			"crs_details": crsDetails()}
		switch q {
		case "radius":
			v["within_units"] = withinUnits()
		case "corridor":
			v["width_units"], v["height_units"], v["within_units"] = withinUnits(), []string{"m"}, withinUnits()
		case "cube":
			v["height_units"] = []string{"m"}
		case "locations":
			v["output_formats"], v["default_output_format"] = append([]string{"GeoJSON"}, formats()...), "GeoJSON"
		}
		queries[q] = map[string]any{"link": Link{Rel: "data", Type: mediaCoverage, Href: path + "/" + q, Variables: v}}
	}
	names := map[string]any{}
	for _, p := range properties {
		names[p.Name] = metadata(p)
	}
	doc := map[string]any{
		"id": id, "title": title, "keywords": []string{"观测", "observations"}, "crs": []string{"CRS84", "EPSG:4326", "EPSG:4490"},
		"output_formats": formats(), "parameter_names": names, "data_queries": queries, "distanceunits": withinUnits(),
		"extent": map[string]any{"spatial": map[string]any{"bbox": [][]float64{{extent.Min[0], extent.Min[1], extent.Max[0], extent.Max[1]}}, "crs": "CRS84"}},
		"links": []Link{
			{Rel: "self", Type: "application/json", Href: path},
			{Rel: "data", Type: "application/geo+json", Title: "观测站 Stations", Href: path + "/locations"},
		},
	}
	if about != "" {
		doc["description"] = about
	}
	return doc
}

// metadata is a parameter in a collection (19-086r6, table 11), whose labels are
// texts, while those of CoverageJSON are by language.
func metadata(p city.Property) map[string]any {
	label := strings.TrimSpace(p.Title + " " + p.TitleEn)
	if label == "" {
		label = p.Name
	}
	observed := map[string]any{"label": label}
	if p.Definition != "" {
		observed["id"] = p.Definition
	}
	m := map[string]any{"type": "Parameter", "id": p.Name, "label": label, "observedProperty": observed, "data-type": "float"}
	if p.Text {
		m["data-type"] = "string"
	} else if u := unitOf(p.UnitCode, p.UnitSymbol); u != nil {
		if p.UnitName != "" {
			u["label"] = p.UnitName
		}
		m["unit"] = u
	}
	return m
}

// unitOf has the code of UCUM as its symbol, as the examples of 19-086r6 do; the
// symbol that people read where there is no code; nil where there is neither.
func unitOf(code, symbol string) map[string]any {
	switch {
	case code != "":
		return map[string]any{"symbol": map[string]any{"value": code, "type": "http://www.opengis.net/def/uom/UCUM/"}}
	case symbol != "":
		return map[string]any{"symbol": symbol}
	}
	return nil
}

// locations lists the stations of a collection as GeoJSON.
func (h *handler) locations(w http.ResponseWriter, r *http.Request) error {
	switch f := r.URL.Query().Get("f"); f {
	case "", "GeoJSON", "json":
	default:
		return invalid("f", "found "+cut(f)+", expected GeoJSON", "…/locations/{code} serves the other formats")
	}
	q, err := h.parse(r)
	if err != nil {
		return err
	}
	if text := r.URL.Query().Get("bbox"); text != "" {
		b, err := parseBBox(text, q.latFirst)
		if err != nil {
			return err
		}
		q.sel.Bound = &b
	}
	streams, err := q.streams(r.Context())
	if err != nil {
		return err
	}
	byTerminal := map[string]*feature{}
	var codes []string
	for _, ds := range streams {
		if q.sel.Bound != nil && (!placed(ds) || !q.sel.Bound.Contains(orb.Point{ds.Lon, ds.Lat})) {
			continue
		}
		f := byTerminal[ds.Terminal]
		if f == nil {
			f = &feature{Type: "Feature", ID: ds.Terminal, Geometry: pointOf(ds.Lon, ds.Lat), Properties: map[string]any{
				"name": ds.TerminalName, "label": labelOf(ds), "datetime": "../..", "domain": ds.Domain, "district": ds.District, "simulated": ds.Simulated,
				"edrqueryendpoint": h.o.BaseURL(r) + r.URL.EscapedPath() + "/" + url.PathEscape(ds.Terminal),
			}}
			byTerminal[ds.Terminal] = f
			codes = append(codes, ds.Terminal)
		}
		f.parameters = append(f.parameters, q.key(ds))
	}
	if len(codes) > h.o.MaxStations {
		return tooMany("stations", len(codes), h.o.MaxStations)
	}
	sort.Strings(codes)
	list := make([]*feature, 0, len(codes))
	for _, c := range codes {
		f := byTerminal[c]
		sort.Strings(f.parameters)
		f.Properties["parameter-name"] = f.parameters
		list = append(list, f)
	}
	return answer(w, r, mediaGeoJSON, map[string]any{"type": "FeatureCollection", "features": list, "numberReturned": len(list),
		"links": []Link{{Rel: "self", Type: mediaGeoJSON, Href: h.o.BaseURL(r) + r.URL.RequestURI()}}})
}

// feature is a station as GeoJSON (RFC 7946).
type feature struct {
	Type       string         `json:"type"`
	ID         string         `json:"id"`
	Geometry   any            `json:"geometry"`
	Properties map[string]any `json:"properties"`
	parameters []string
}

// pointOf is null for a station without a place.
func pointOf(lon, lat float64) any {
	if math.IsNaN(lon) || math.IsNaN(lat) {
		return nil
	}
	return map[string]any{"type": "Point", "coordinates": [2]float64{lon, lat}}
}

func labelOf(ds *city.Datastream) string {
	if ds.TerminalName != "" {
		return ds.TerminalName
	}
	return ds.Terminal
}

package edr

// Description is what the landing page, the list of conformance classes and the
// OpenAPI document of the hub say about EDR.
type Description struct {
	// Conformance are the conformance classes that are implemented.
	Conformance []string
	// Landing are links of the landing page; Href begins with a slash.
	Landing []Link
	// Paths is the paths object of OpenAPI 3.0, and Tags its tags.
	Paths map[string]any
	Tags  []map[string]any
}

// Describe gives the Description. The caller may change it.
func Describe() Description {
	parameter := func(name, in, description string, required bool, schema map[string]any) map[string]any {
		return map[string]any{"name": name, "in": in, "description": description, "required": required, "schema": schema}
	}
	text := map[string]any{"type": "string"}
	number := map[string]any{"type": "number", "minimum": 0}
	units := map[string]any{"type": "string", "enum": withinUnits()}
	collection := parameter("collectionId", "path", "observations, or an observed property", true, text)
	common := []any{
		collection,
		parameter("datetime", "query", "an instant or an interval of RFC 3339; without it the latest readings", false, text),
		parameter("parameter-name", "query", "parameters, separated by commas", false, text),
		parameter("crs", "query", "of coords and of the answer", false, map[string]any{"type": "string", "enum": []string{"CRS84", "EPSG:4326", "EPSG:4490"}}),
		parameter("f", "query", "format", false, map[string]any{"type": "string", "enum": formats()}),
	}
	problem := func(description string) map[string]any {
		return map[string]any{"description": description, "content": map[string]any{"application/problem+json": map[string]any{"schema": map[string]any{"type": "object"}}}}
	}
	get := func(id, summary string, media []string, parameters ...any) map[string]any {
		content := map[string]any{}
		for _, m := range media {
			schema := map[string]any{"type": "object"}
			if m == mediaCSV {
				schema = text
			}
			content[m] = map[string]any{"schema": schema}
		}
		return map[string]any{"get": map[string]any{"tags": []string{"EDR"}, "operationId": "edr." + id, "summary": summary, "parameters": append([]any{}, parameters...),
			"responses": map[string]any{"200": map[string]any{"description": "the answer", "content": content}, "400": problem("a parameter is wrong"), "404": problem("there is no such resource"), "413": problem("the answer would be too large")}}}
	}
	data := []string{mediaCoverage, mediaGeoJSON, mediaCSV}
	const root = "/ogc/edr/collections"
	paths := map[string]any{
		"/ogc/edr":                         get("landing", "Landing page of EDR", []string{"application/json"}),
		"/ogc/edr/conformance":             get("conformance", "Conformance classes of EDR", []string{"application/json"}),
		root:                               get("collections", "Collections of observations", []string{"application/json"}),
		root + "/{collectionId}":           get("collection", "A collection of observations", []string{"application/json"}, collection),
		root + "/{collectionId}/locations": get("locations", "Stations", []string{mediaGeoJSON}, collection, parameter("bbox", "query", "west,south,east,north", false, text)),
		root + "/{collectionId}/locations/{locationId}": get("location", "What a station observes", data, append(append([]any{}, common...), parameter("locationId", "path", "code of the terminal", true, text))...),
	}
	for _, q := range []struct {
		name, summary string
		more          []any
	}{
		{"position", "At the nearest stations of points", []any{parameter("coords", "query", "WKT POINT or MULTIPOINT", true, text)}},
		{"radius", "Around a point", []any{parameter("coords", "query", "WKT POINT", true, text), parameter("within", "query", "radius", true, number), parameter("within-units", "query", "of within", true, units)}},
		{"area", "In an area", []any{parameter("coords", "query", "WKT POLYGON or MULTIPOLYGON", true, text)}},
		{"cube", "In a rectangle", []any{parameter("bbox", "query", "west,south,east,north", true, text)}},
		{"trajectory", "Along a way", []any{parameter("coords", "query", "WKT LINESTRING or MULTILINESTRING", true, text), parameter("corridor-width", "query", "from side to side", false, number), parameter("width-units", "query", "of corridor-width", false, units)}},
		{"corridor", "Along a way of some width", []any{parameter("coords", "query", "WKT LINESTRING or MULTILINESTRING", true, text), parameter("corridor-width", "query", "from side to side", true, number), parameter("width-units", "query", "of corridor-width", true, units)}},
	} {
		paths[root+"/{collectionId}/"+q.name] = get(q.name, q.summary, data, append(append([]any{}, common...), q.more...)...)
	}
	return Description{
		Conformance: conformance(),
		Landing: []Link{
			{Rel: "data", Type: "application/json", Title: "观测数据 Observations (OGC API - EDR)", Href: "/ogc/edr"},
		},
		Paths: paths,
		Tags:  []map[string]any{{"name": "EDR", "description": "观测数据 OGC API - Environmental Data Retrieval"}},
	}
}

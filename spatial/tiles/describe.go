package tiles

// Description is what the landing page, the list of conformance classes, the
// collections and the OpenAPI document of the hub say about tiles.
type Description struct {
	// Conformance are the conformance classes that are implemented.
	Conformance []string
	// Landing are links of the landing page; Href begins with a slash.
	Landing []Link
	// Collections are links of each collection by its ID; Href begins with a slash.
	Collections map[string][]Link
	// Paths is the paths object of OpenAPI 3.0, and Tags its tags.
	Paths map[string]any
	Tags  []map[string]any
}

// Describe gives the Description. The caller may change it.
func Describe() Description {
	const spec = "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/"
	d := Description{
		Conformance: []string{
			spec + "core", spec + "tileset", spec + "tilesets-list", spec + "dataset-tilesets", spec + "geodata-tilesets",
			spec + "collections-selection", spec + "datetime", spec + "mvt", spec + "oas30",
			"http://www.opengis.net/spec/tms/2.0/conf/tilematrixset", "http://www.opengis.net/spec/tms/2.0/conf/json-tilematrixset",
		},
		Landing: []Link{
			{Rel: relTileSets, Type: mediaJSON, Title: "城市矢量瓦片 Vector tiles of the city", Href: "/ogc/tiles"},
			{Rel: relSchemes, Type: mediaJSON, Title: "瓦片矩阵集 Tile matrix sets", Href: "/ogc/tileMatrixSets"},
			{Rel: "http://www.opengis.net/def/rel/ogc/1.0/styles", Type: mediaJSON, Title: "地图样式 Map styles", Href: "/ogc/styles"},
		},
		Collections: map[string][]Link{},
		Tags:        []map[string]any{{"name": "Tiles", "description": "矢量瓦片 OGC API - Tiles, Mapbox vector tiles"}},
	}
	for _, id := range layerIDs() {
		d.Collections[id] = []Link{
			{Rel: relTileSets, Type: mediaJSON, Title: "矢量瓦片 Vector tiles", Href: "/ogc/collections/" + id + "/tiles"},
		}
	}
	d.Paths = paths()
	return d
}

func paths() map[string]any {
	parameter := func(name, in, description string, schema map[string]any) map[string]any {
		return map[string]any{"name": name, "in": in, "description": description, "required": in == "path", "schema": schema}
	}
	text := map[string]any{"type": "string"}
	number := map[string]any{"type": "integer", "minimum": 0}
	var sets []string
	for _, m := range matrixSets() {
		sets = append(sets, m.id)
	}
	var styles []string
	for _, a := range audiences() {
		styles = append(styles, a.id+"-light", a.id+"-dark")
	}
	set := parameter("tileMatrixSetId", "path", "瓦片矩阵集 tile matrix set", map[string]any{"type": "string", "enum": sets})
	collection := parameter("collectionId", "path", "数据集合 collection", map[string]any{"type": "string", "enum": layerIDs()})
	tile := []any{
		parameter("tileMatrix", "path", "level", number),
		parameter("tileRow", "path", "row from the top, from 0", number),
		parameter("tileCol", "path", "column from the left, from 0", number),
	}
	query := []any{
		parameter("datetime", "query", "a time of RFC 3339, or an interval of which the end counts", text),
		parameter("filter", "query", "CQL2 over id, dataset, class, type, name, height, underground, geometry and, by name, the latest values of observed properties", text),
		parameter("filter-lang", "query", "language of filter", map[string]any{"type": "string", "enum": []string{"cql2-text", "cql2-json"}, "default": "cql2-text"}),
	}
	ids := make([]any, 0, 9)
	for _, c := range layerIDs() {
		ids = append(ids, c)
	}
	collections := map[string]any{"name": "collections", "in": "query", "description": "layers of the tile; without it those of the model", "required": false,
		"style": "form", "explode": false, "schema": map[string]any{"type": "array", "items": map[string]any{"type": "string", "enum": ids}}}
	get := func(id, summary, ok string, content []string, parameters ...any) map[string]any {
		media := map[string]any{}
		for _, m := range content {
			schema := map[string]any{"type": "object"}
			if m == mediaMVT {
				schema = map[string]any{"type": "string", "format": "binary"}
			}
			media[m] = map[string]any{"schema": schema}
		}
		responses := map[string]any{"200": map[string]any{"description": ok, "content": media}, "400": problem("a parameter is wrong"), "404": problem("there is no such resource")}
		if content[0] == mediaMVT {
			responses["204"] = map[string]any{"description": "nothing is in the tile"}
			responses["304"] = map[string]any{"description": "the tile has not changed"}
		}
		return map[string]any{"get": map[string]any{"tags": []string{"Tiles"}, "operationId": id, "summary": summary, "parameters": append([]any{}, parameters...), "responses": responses}}
	}
	list := func(parts ...[]any) []any {
		var all []any
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	f := parameter("f", "query", "representation", map[string]any{"type": "string", "enum": []string{"json", "tilejson"}})
	return map[string]any{
		"/ogc/tileMatrixSets":                   get("tiles.listTileMatrixSets", "Tile matrix sets", "the list", []string{mediaJSON}),
		"/ogc/tileMatrixSets/{tileMatrixSetId}": get("tiles.getTileMatrixSet", "A tile matrix set", "its definition", []string{mediaJSON}, set),
		"/ogc/tiles":                            get("tiles.listDatasetTileSets", "Tile sets of the city", "the list", []string{mediaJSON}, collections),
		"/ogc/tiles/{tileMatrixSetId}":          get("tiles.getDatasetTileSet", "A tile set of the city", "its metadata", []string{mediaJSON, mediaTileJSON}, set, collections, f),
		"/ogc/tiles/{tileMatrixSetId}/{tileMatrix}/{tileRow}/{tileCol}": get("tiles.getDatasetTile", "A tile of the city", "the tile", []string{mediaMVT},
			list([]any{set, collections}, tile, query)...),
		"/ogc/collections/{collectionId}/tiles":                   get("tiles.listCollectionTileSets", "Tile sets of a collection", "the list", []string{mediaJSON}, collection),
		"/ogc/collections/{collectionId}/tiles/{tileMatrixSetId}": get("tiles.getCollectionTileSet", "A tile set of a collection", "its metadata", []string{mediaJSON, mediaTileJSON}, collection, set, f),
		"/ogc/collections/{collectionId}/tiles/{tileMatrixSetId}/{tileMatrix}/{tileRow}/{tileCol}": get("tiles.getCollectionTile", "A tile of a collection", "the tile", []string{mediaMVT},
			list([]any{collection, set}, tile, query)...),
		"/ogc/styles":           get("tiles.listStyles", "Map styles", "the list", []string{mediaJSON}),
		"/ogc/styles/{styleId}": get("tiles.getStyle", "A MapLibre style", "the style", []string{mediaStyle}, parameter("styleId", "path", "style", map[string]any{"type": "string", "enum": styles})),
	}
}

func problem(description string) map[string]any {
	return map[string]any{"description": description, "content": map[string]any{"application/problem+json": map[string]any{"schema": map[string]any{"type": "object"}}}}
}

// Layers are the IDs of all layers with tiles: those of city.Collections,
// "terminals" and "live".
func Layers() []string { return layerIDs() }

package features

import (
	"maps"
	"slices"

	"cityhub/spatial/cql2"
)

type object = map[string]any

// openAPI is the API definition (/req/oas30/oas-definition-1), OpenAPI 3.0.
func (c *call) openAPI() (object, error) {
	answer := func(zh, en string, formats []format) object {
		content := object{}
		for _, f := range formats {
			content[f.mediaType] = object{"schema": object{"type": "object"}}
			if f.name == formatHTML.name {
				content[f.mediaType] = object{"schema": object{"type": "string"}}
			}
		}
		return object{"description": c.text(zh, en), "content": content}
	}
	problem := object{"$ref": "#/components/responses/Problem"}
	get := func(id, zh, en string, formats []format, parameters ...any) object {
		parameters = append(parameters, ref("f"), ref("lang"))
		return object{"get": object{
			"operationId": id, "summary": c.text(zh, en), "tags": []string{"features"}, "parameters": parameters,
			"responses": object{"200": answer(zh, en, formats), "400": problem, "404": problem, "406": problem, "500": problem, "503": problem},
		}}
	}
	paths := object{
		"/":            get("getLandingPage", "首页", "Landing page", documents),
		"/conformance": get("getConformanceDeclaration", "遵循的标准", "Conformance declaration", documents),
		"/api":         get("getApi", "接口定义", "API definition", []format{formatOpenAPI, formatHTML}),
		"/collections": get("getCollections", "数据集合", "Collections", documents),
	}
	for _, k := range kinds() {
		at := "/collections/" + k.ID
		paths[at] = get("describe_"+k.ID, k.Title, k.TitleEn, documents)
		paths[at+"/queryables"] = get("queryables_"+k.ID, k.Title+"·可查询属性", k.TitleEn+": queryables", []format{formatSchema, formatHTML})
		parameters := []any{ref("bbox"), ref("bbox-crs"), ref("datetime"), ref("limit"), ref("cursor"), ref("crs"), ref("filter"), ref("filter-lang"), ref("filter-crs"), ref("live"), ref("lod"), ref("profile")}
		sch, err := c.schemaOf(k)
		if err != nil {
			return nil, err
		}
		for _, col := range sch.columns {
			if col.field == fieldAttribute && !k.terminals() || col.Type == cql2.TypeGeometry {
				continue // attributes are many: queryables has them
			}
			schema := object{"type": "string"}
			switch col.Type {
			case cql2.TypeNumber:
				schema["type"] = "number"
			case cql2.TypeBool:
				schema["type"] = "boolean"
			}
			parameters = append(parameters, object{"name": col.Name, "in": "query", "required": false, "description": c.text(col.title, col.titleEn), "schema": schema, "style": "form", "explode": false})
		}
		items := get("items_"+k.ID, k.Title+"·要素", k.TitleEn+": features", featureFormats, parameters...)
		feature := object{"name": "featureId", "in": "path", "required": true, "description": c.text("要素标识：数据集：源标识", "id of the feature: DATASET:IDENTIFIER"), "schema": object{"type": "string"}}
		one := get("item_"+k.ID, k.Title+"·单个要素", k.TitleEn+": one feature", featureFormats, feature, ref("crs"), ref("datetime"), ref("live"), ref("lod"), ref("profile"))
		if k.editable() && c.view.Edit != nil {
			body := func(media string) object {
				return object{"required": true, "content": object{media: object{"schema": object{"type": "object"}}}}
			}
			contentCRS := object{"name": "Content-Crs", "in": "header", "required": false, "description": c.text("坐标系", "CRS of the coordinates; without it CRS84"), "schema": object{"type": "string"}}
			ifMatch := object{"name": "If-Match", "in": "header", "required": true, "description": c.text("要改变的版本的 ETag", "ETag of the version that is changed"), "schema": object{"type": "string"}}
			edit := func(id, zh, en string, media string, parameters ...any) object {
				op := object{"operationId": id + "_" + k.ID, "summary": c.text(zh, en), "tags": []string{"edit"}, "parameters": parameters,
					"responses": object{"200": answer(zh, en, featureFormats[:1]), "201": object{"description": c.text("已建立", "Created"), "headers": object{"Location": object{"schema": object{"type": "string", "format": "uri"}}}},
						"204": object{"description": c.text("已删除", "Deleted")}, "400": problem, "401": problem, "403": problem, "404": problem, "409": problem, "412": problem, "415": problem, "428": problem}}
				if media != "" {
					op["requestBody"] = body(media)
				}
				return op
			}
			items["post"] = edit("create", "建立要素", "Create a feature", formatGeoJSON.mediaType, contentCRS)
			one["put"] = edit("replace", "替换要素", "Replace the feature", formatGeoJSON.mediaType, feature, contentCRS, ifMatch)
			one["patch"] = edit("update", "修改要素", "Update the feature (RFC 7396)", "application/merge-patch+json", feature, contentCRS, ifMatch)
			one["delete"] = edit("delete", "删除要素", "Delete the feature", "", feature, ifMatch)
		}
		paths[at+"/items"], paths[at+"/items/{featureId}"] = items, one
	}
	for _, x := range c.h.o.Extensions {
		maps.Copy(paths, x.OpenAPI)
	}
	return object{
		"openapi": "3.0.3",
		"info": object{"title": c.text(c.h.o.Title, c.h.o.TitleEn), "version": "1.0.0",
			"description": c.text("城市信息模型及其实时观测，按 OGC API 标准提供。", "The city information model and what is observed on it, by the OGC API standards.")},
		"servers":    []object{{"url": c.base}},
		"tags":       []object{{"name": "features"}, {"name": "edit"}},
		"paths":      paths,
		"components": object{"parameters": c.parameterObjects(), "responses": object{"Problem": object{"description": c.text("出错说明 (RFC 9457)", "What is wrong (RFC 9457)"), "content": object{"application/problem+json": object{"schema": object{"type": "object"}}}}}},
	}, nil
}

func ref(name string) object { return object{"$ref": "#/components/parameters/" + name} }

func (c *call) parameterObjects() object {
	uri := object{"type": "string", "format": "uri", "enum": c.h.crsURIs()}
	list := []struct {
		name, zh, en string
		schema       object
	}{
		{"f", "格式", "Representation", object{"type": "string", "enum": []string{"json", "html", "jsonfg", "geojson"}}},
		{"lang", "语言", "Language", object{"type": "string", "enum": []string{"zh", "en"}}},
		{"bbox", "范围：minx,miny,maxx,maxy，可加高度", "Box: minx,miny,maxx,maxy, or with heights minx,miny,minz,maxx,maxy,maxz", object{"type": "array", "minItems": 4, "maxItems": 6, "items": object{"type": "number"}}},
		{"bbox-crs", "范围的坐标系", "CRS of bbox", uri},
		{"datetime", "时间：该时的城市", "Instant or interval, RFC 3339: the city as it was then", object{"type": "string"}},
		{"limit", "每页要素数", "Features on a page", object{"type": "integer", "minimum": 1, "maximum": maxLimit, "default": defaultLimit}},
		{"cursor", "下一页的起点，见 next 链接", "Where the page begins: from the link next", object{"type": "string"}},
		{"crs", "结果的坐标系", "CRS of the answer", uri},
		{"filter", "CQL2 筛选条件", "Filter in CQL2", object{"type": "string"}},
		{"filter-lang", "筛选语言", "Language of the filter", object{"type": "string", "enum": []string{"cql2-text", "cql2-json"}, "default": "cql2-text"}},
		{"filter-crs", "筛选条件的坐标系", "CRS of the filter's geometries", uri},
		{"live", "附实时值", "With the latest values", object{"type": "boolean", "default": false}},
		{"lod", "JSON-FG 几何的细节层次", "Level of detail of JSON-FG's place", object{"type": "string"}},
		{"profile", "JSON-FG 配置", "Profile of JSON-FG", object{"type": "string", "enum": []string{"rfc7946", "jsonfg", "jsonfg-plus"}}},
	}
	out := object{}
	for _, p := range list {
		o := object{"name": p.name, "in": "query", "required": false, "description": c.text(p.zh, p.en), "schema": p.schema, "style": "form", "explode": false}
		out[p.name] = o
	}
	return out
}

func (c *call) api() error {
	doc, err := c.openAPI()
	if err != nil {
		return err
	}
	if c.format.name == formatHTML.name {
		return c.apiPage(doc)
	}
	return c.json(doc)
}

func sortedKeys(o object) []string { return slices.Sorted(maps.Keys(o)) }

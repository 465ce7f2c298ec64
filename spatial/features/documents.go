package features

import (
	"encoding/json"
	"math"
	"slices"

	"cityhub/spatial/cql2"
	"cityhub/spatial/crs"
)

// landingDocument is the landing page (/req/core/root-success).
type landingDocument struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	Attribution string `json:"attribution,omitempty"`
	Links       []Link `json:"links"`
}

func (c *call) landing() error {
	j := formatJSON.mediaType
	links := c.alternates(documents, "")
	links = append(links,
		Link{Href: c.base + "/api", Rel: "service-desc", Type: formatOpenAPI.mediaType, Title: c.text("接口定义 (OpenAPI 3.0)", "API definition (OpenAPI 3.0)")},
		Link{Href: c.base + "/api?f=html", Rel: "service-doc", Type: formatHTML.mediaType, Title: c.text("接口文档", "API documentation")},
		Link{Href: c.base + "/conformance", Rel: "conformance", Type: j, Title: c.text("遵循的标准", "Conformance")},
		Link{Href: c.base + "/collections", Rel: "data", Type: j, Title: c.text("数据集合", "Collections")})
	for _, x := range c.h.o.Extensions {
		for _, l := range x.Landing {
			links = append(links, l.absolute(c.h.o.BaseURL(c.r)))
		}
	}
	doc := landingDocument{Title: c.text(c.h.o.Title, c.h.o.TitleEn), Links: links,
		Description: c.text("道路、建筑、水系、地下空间和城市部件，以及其上的实时观测。按 OGC API 标准提供。", "Roads, buildings, water, underground space and city components, and what is observed on them now, by the OGC API standards.")}
	if c.format.name == formatHTML.name {
		return c.landingPage(doc)
	}
	return c.json(doc)
}

func (h *handler) conformanceClasses() []string {
	list := []string{
		"http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
		"http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/landing-page",
		"http://www.opengis.net/spec/ogcapi-common-2/1.0/conf/collections",
		"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
		"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
		"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/html",
		"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/oas30",
		"http://www.opengis.net/spec/ogcapi-features-2/1.0/conf/crs",
		"http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/queryables",
		"http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/queryables-query-parameters",
		"http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/filter",
		"http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/features-filter",
		"http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/create-replace-delete",
		"http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/update",
		"http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/optimistic-locking-etags",
		"http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/features",
		jsonfgCore, jsonfgSolids,
	}
	for _, name := range []string{"cql2-text", "cql2-json", "basic-cql2", "advanced-comparison-operators", "case-insensitive-comparison", "accent-insensitive-comparison",
		"basic-spatial-functions", "basic-spatial-functions-plus", "spatial-functions", "temporal-functions", "array-functions", "property-property", "arithmetic"} {
		list = append(list, "http://www.opengis.net/spec/cql2/1.0/conf/"+name)
	}
	for _, x := range h.o.Extensions {
		for _, name := range x.Conformance {
			if !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
	}
	return list
}

type conformanceDocument struct {
	ConformsTo []string `json:"conformsTo"`
	Links      []Link   `json:"links"`
}

func (c *call) conformance() error {
	doc := conformanceDocument{c.h.conformanceClasses(), c.alternates(documents, "")}
	if c.format.name == formatHTML.name {
		return c.conformancePage(doc)
	}
	return c.json(doc)
}

type collectionDocument struct {
	ID          string          `json:"id"`
	Title       string          `json:"title"`
	Description string          `json:"description"`
	Extent      *extentDocument `json:"extent,omitempty"`
	ItemType    string          `json:"itemType"`
	CRS         []string        `json:"crs"`
	StorageCRS  string          `json:"storageCrs"`
	Links       []Link          `json:"links"`
}

type extentDocument struct {
	Spatial struct {
		BBox [][4]float64 `json:"bbox"`
		CRS  string       `json:"crs"`
	} `json:"spatial"`
}

// tidy is an angle in degrees to the nine decimals that are stored.
func tidy(deg float64) float64 { return math.Round(deg*1e9) / 1e9 }

type collectionsDocument struct {
	Links       []Link               `json:"links"`
	CRS         []string             `json:"crs"`
	Collections []collectionDocument `json:"collections"`
}

func (h *handler) crsURIs() []string {
	var list []string
	for _, c := range h.crss {
		list = append(list, c.URI())
	}
	return list
}

func (c *call) describe(k kind) (collectionDocument, error) {
	at := c.base + "/collections/" + k.ID
	doc := collectionDocument{ID: k.ID, Title: c.text(k.Title, k.TitleEn), Description: c.text(k.about, k.aboutEn), ItemType: "feature",
		CRS: c.h.crsURIs(), StorageCRS: c.h.crss[0].URI()}
	box, err := c.extent(k)
	if err != nil {
		return doc, err
	}
	if !box.Empty {
		doc.Extent = new(extentDocument)
		doc.Extent.Spatial.BBox = [][4]float64{{tidy(box.West), tidy(box.South), tidy(box.East), tidy(box.North)}}
		doc.Extent.Spatial.CRS = c.h.crss[0].URI()
	}
	for _, f := range featureFormats {
		doc.Links = append(doc.Links, Link{Href: at + "/items?f=" + f.name, Rel: "items", Type: f.mediaType, Title: doc.Title + " · " + c.text(f.title, f.titleEn)})
	}
	doc.Links = append(doc.Links,
		Link{Href: at + "/queryables", Rel: "http://www.opengis.net/def/rel/ogc/1.0/queryables", Type: formatSchema.mediaType, Title: c.text("可查询属性", "Queryables")})
	for _, x := range c.h.o.Extensions {
		if x.Collection != nil {
			for _, l := range x.Collection(k.ID) {
				doc.Links = append(doc.Links, l.absolute(c.h.o.BaseURL(c.r)))
			}
		}
	}
	return doc, nil
}

func (c *call) collections() error {
	doc := collectionsDocument{Links: c.alternates(documents, ""), CRS: c.h.crsURIs()}
	for _, k := range kinds() {
		d, err := c.describe(k)
		if err != nil {
			return err
		}
		at := c.base + "/collections/" + k.ID
		d.Links = append([]Link{{Href: at, Rel: "self", Type: formatJSON.mediaType, Title: d.Title}}, d.Links...)
		doc.Collections = append(doc.Collections, d)
	}
	if c.format.name == formatHTML.name {
		return c.collectionsPage(doc)
	}
	return c.json(doc)
}

func (c *call) collection() error {
	k, err := c.kind()
	if err != nil {
		return err
	}
	doc, err := c.describe(k)
	if err != nil {
		return err
	}
	doc.Links = append(c.alternates(documents, ""), doc.Links...)
	if c.format.name == formatHTML.name {
		return c.collectionPage(k, doc)
	}
	return c.json(doc)
}

// schemaOf is the queryables of any collection.
func (c *call) schemaOf(k kind) (*schema, error) {
	l, err := c.liveReader(c.now)
	if err != nil {
		return nil, err
	}
	if k.terminals() {
		return terminalSchema(l)
	}
	return c.schema(k, l, false)
}

type propertySchema struct {
	Title  string   `json:"title,omitempty"`
	Type   string   `json:"type,omitempty"`
	Format string   `json:"format,omitempty"`
	Enum   []string `json:"enum,omitempty"`
	Role   string   `json:"x-ogc-role,omitempty"`
	Unit   string   `json:"x-ogc-unit,omitempty"`
}

func (c *call) property(col column, k kind) propertySchema {
	p := propertySchema{Title: c.text(col.title, col.titleEn), Unit: col.unit}
	switch col.Type {
	case cql2.TypeGeometry:
		p.Format, p.Role = "geometry-any", "primary-geometry"
	case cql2.TypeBool:
		p.Type = "boolean"
	case cql2.TypeNumber:
		p.Type = "number"
	case cql2.TypeTimestamp:
		p.Type, p.Format = "string", "date-time"
	default:
		p.Type = "string"
	}
	switch {
	case col.field == fieldID:
		p.Role = "id"
	case col.field == fieldClass:
		for _, class := range k.classes() {
			if class != "" {
				p.Enum = append(p.Enum, string(class))
			}
		}
	}
	return p
}

// queryables is /collections/{collectionId}/queryables (/req/queryables/get-queryables-response).
func (c *call) queryables() error {
	k, err := c.kind()
	if err != nil {
		return err
	}
	sch, err := c.schemaOf(k)
	if err != nil {
		return err
	}
	if c.format.name == formatHTML.name {
		return c.queryablesPage(k, sch)
	}
	properties := make(ordered, 0, len(sch.columns))
	for _, col := range sch.columns {
		properties = append(properties, namedValue{col.Name, c.property(col, k)})
	}
	return c.json(struct {
		Schema     string  `json:"$schema"`
		ID         string  `json:"$id"`
		Type       string  `json:"type"`
		Title      string  `json:"title"`
		Properties ordered `json:"properties"`
		Additional bool    `json:"additionalProperties"`
	}{"https://json-schema.org/draft/2020-12/schema", c.base + "/collections/" + k.ID + "/queryables", "object", c.text(k.Title, k.TitleEn), properties, false})
}

// ordered is a JSON object whose members keep their order.
type ordered []namedValue

type namedValue struct {
	name  string
	value any
}

// MarshalJSON writes the members in their order.
func (o ordered) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		k, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, k...), ':'), v...)
	}
	return append(out, '}'), nil
}

func crsNames(list []*crs.CRS) []string {
	var names []string
	for _, c := range list {
		names = append(names, c.String()+" "+c.Name())
	}
	return names
}

package features

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"cityhub/spatial/city"
	"cityhub/spatial/store"
)

//go:embed pages.html
var pagesHTML string

//go:embed style.css
var styleCSS []byte

// pages are the templates of the HTML representation. They load nothing but
// their own style sheet and run no script.
type pages struct {
	t     *template.Template
	style []byte
}

func newPages() (*pages, error) {
	t, err := template.New("pages").Parse(pagesHTML)
	return &pages{t, styleCSS}, err
}

const contentSecurity = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"

// sheet is what a page shows.
type sheet struct {
	Kind                 string // landing, collections, table, items or api
	Site, Title, Lead    string
	En                   bool
	Q                    string // ?lang=… of links to other pages
	Other                string // the same page in the other language
	Alternates           []Link
	Crumbs               []Link
	Links                []Link
	Cards                []card
	Tables               []table
	Map                  *chart
	Operations           []operation
	Action, Filter, BBox string
	Example, BBoxExample string
	Limit, Count, Next   string
}

type card struct {
	Title, About, Href string
	Links              []Link
}

type table struct {
	Title string
	Head  []string
	Rows  [][]cell
}

type cell struct{ Text, Href string }

type operation struct {
	Method, Path, Summary string
	Parameters            []parameter
}

type parameter struct{ Name, In, About, Type string }

// show answers with a page.
func (c *call) show(s *sheet) error {
	s.En, s.Site = c.lang == "en", c.text(c.h.o.Title, c.h.o.TitleEn)
	if _, given := c.query["lang"]; given {
		s.Q = "?lang=" + c.lang
	}
	q := cloneQuery(c.query)
	q.Set("lang", c.text("en", "zh"))
	s.Other = "?" + q.Encode()
	var b bytes.Buffer
	if err := c.h.pages.t.ExecuteTemplate(&b, "page", s); err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", contentSecurity)
	h.Set("X-Content-Type-Options", "nosniff")
	for i, l := range s.Alternates {
		if i < 4 {
			h.Add("Link", "<"+l.Href+`>; rel="alternate"; type="`+l.Type+`"`)
		}
	}
	_, _ = c.w.Write(b.Bytes()) // the caller has gone
	return nil
}

// others are the links alternate among links.
func others(links []Link) []Link {
	var list []Link
	for _, l := range links {
		if l.Rel == "alternate" {
			list = append(list, l)
		}
	}
	return list
}

func without(links []Link, rels ...string) []Link {
	var list []Link
	for _, l := range links {
		keep := true
		for _, r := range rels {
			keep = keep && l.Rel != r
		}
		if keep {
			list = append(list, l)
		}
	}
	return list
}

// page is the URL path of a page in the language of this one.
func (c *call) page(path string) string {
	if _, given := c.query["lang"]; given {
		return "/ogc" + path + "?lang=" + c.lang
	}
	return "/ogc" + path
}

func (c *call) cards() []card {
	var list []card
	for _, k := range kinds() {
		at := "/collections/" + k.ID
		list = append(list, card{c.text(k.Title, k.TitleEn), c.text(k.about, k.aboutEn), c.page(at), []Link{
			{Href: c.page(at + "/items"), Title: c.text("浏览要素", "Browse features")},
			{Href: c.page(at + "/queryables"), Title: c.text("可查询属性", "Queryables")}}})
	}
	return list
}

func (c *call) landingPage(doc landingDocument) error {
	return c.show(&sheet{Kind: "landing", Title: doc.Title, Lead: doc.Description, Cards: c.cards(), Alternates: others(doc.Links), Links: without(doc.Links, "self", "alternate")})
}

func (c *call) home() []Link {
	return []Link{{Href: c.page(""), Title: c.text(c.h.o.Title, c.h.o.TitleEn)}}
}

func (c *call) crumbs(k kind, more ...Link) []Link {
	list := append(c.home(), Link{Href: c.page("/collections"), Title: c.text("数据集合", "Collections")}, Link{Href: c.page("/collections/" + k.ID), Title: c.text(k.Title, k.TitleEn)})
	return append(list, more...)
}

func (c *call) conformancePage(doc conformanceDocument) error {
	t := table{}
	for _, u := range doc.ConformsTo {
		t.Rows = append(t.Rows, []cell{{u, u}})
	}
	return c.show(&sheet{Kind: "table", Title: c.text("遵循的标准", "Standards"), Crumbs: c.home(), Alternates: others(doc.Links), Tables: []table{t},
		Lead: c.text("本服务实现的一致性类。", "The conformance classes that this service implements.")})
}

func (c *call) collectionsPage(doc collectionsDocument) error {
	return c.show(&sheet{Kind: "collections", Title: c.text("数据集合", "Collections"), Crumbs: c.home(), Cards: c.cards(), Alternates: others(doc.Links)})
}

func (c *call) collectionPage(k kind, doc collectionDocument) error {
	facts := table{Rows: [][]cell{{{Text: c.text("标识", "Identifier")}, {Text: k.ID}}}}
	if doc.Extent != nil {
		b := doc.Extent.Spatial.BBox[0]
		facts.Rows = append(facts.Rows, []cell{{Text: c.text("范围（经度、纬度）", "Extent (longitude, latitude)")}, {Text: fmt.Sprintf("%.6f, %.6f — %.6f, %.6f", b[0], b[1], b[2], b[3])}})
	}
	facts.Rows = append(facts.Rows,
		[]cell{{Text: c.text("存储坐标系", "Storage CRS")}, {Text: doc.StorageCRS}},
		[]cell{{Text: c.text("可用坐标系", "Served CRSs")}, {Text: strings.Join(crsNames(c.h.crss), "; ")}})
	links := append([]Link{{Href: c.page("/collections/" + k.ID + "/items"), Title: c.text("浏览要素", "Browse features")}}, without(doc.Links, "self", "alternate")...)
	return c.show(&sheet{Kind: "table", Title: doc.Title, Lead: doc.Description, Crumbs: c.crumbs(k)[:2], Alternates: others(doc.Links), Tables: []table{facts}, Links: links})
}

func (c *call) queryablesPage(k kind, sch *schema) error {
	t := table{Head: []string{c.text("名称", "Name"), c.text("含义", "Meaning"), c.text("类型", "Type"), c.text("单位", "Unit")}}
	for _, col := range sch.columns {
		p := c.property(col, k)
		typ := p.Type
		if p.Format != "" {
			typ = strings.TrimSpace(typ + " " + p.Format)
		}
		t.Rows = append(t.Rows, []cell{{Text: col.Name}, {Text: p.Title}, {Text: typ}, {Text: p.Unit}})
	}
	return c.show(&sheet{Kind: "table", Title: c.text("可查询属性", "Queryables"), Crumbs: c.crumbs(k), Tables: []table{t}, Alternates: others(c.alternates([]format{formatSchema, formatHTML}, "")),
		Lead: c.text("CQL2 筛选条件和查询参数可用的属性。", "The properties that filters in CQL2 and parameters can name.")})
}

// htmlLimit is the most features on a page for people.
const htmlLimit = 500

// itemsSheet is what pages of features have in common.
func (c *call) itemsSheet(k kind, s search, n int, next string) *sheet {
	p := &sheet{Kind: "items", Title: c.text(k.Title, k.TitleEn) + c.text(" · 要素", ": features"), Crumbs: c.crumbs(k), Alternates: others(c.alternates(featureFormats, "")),
		Action: "/ogc/collections/" + k.ID + "/items", Filter: c.query.Get("filter"), BBox: c.query.Get("bbox"), Limit: strconv.Itoa(s.limit),
		Example: "name LIKE '%塔%'", BBoxExample: "120.60,31.30,120.64,31.33",
		Count: c.text(fmt.Sprintf("本页 %d 个要素", n), fmt.Sprintf("%d features on this page", n))}
	if k.live() || k.terminals() {
		p.Example = "pm25 > 75"
	}
	if next != "" {
		q := cloneQuery(c.query)
		q.Set("cursor", next)
		p.Next = "?" + q.Encode()
	}
	return p
}

func (c *call) itemsPage(k kind, s search, sel *selection) error {
	s.limit = min(s.limit, htmlLimit)
	sc := c.scan(sel, s.after)
	var list []*store.Version
	done := false
	for !done && len(list) < s.limit+1 {
		more, d, err := sc.next(s.limit + 1 - len(list))
		if err != nil {
			return err
		}
		list, done = append(list, more...), d
	}
	next := ""
	if len(list) > s.limit {
		list = list[:s.limit]
		next = strconv.FormatInt(list[s.limit-1].Position, 36)
	}
	p := c.itemsSheet(k, s, len(list), next)
	t := table{Head: []string{c.text("要素", "Feature"), c.text("名称", "Name"), c.text("类型", "Type"), c.text("高度 m", "Height m"), c.text("生效", "Valid from")}}
	if sel.withLive {
		t.Head = append(t.Head, c.text("实时值", "Latest values"))
	}
	var m chartMaker
	var values []liveValue
	for _, v := range list {
		id := string(appendID(nil, store.Key{Dataset: v.Dataset, ID: v.Object.ID}))
		href := c.page("/collections/" + k.ID + "/items/" + pathSegment(id))
		height := ""
		if v.Object.Height.From != "" {
			height = strconv.FormatFloat(v.Object.Height.Metres, 'f', -1, 64)
		}
		row := []cell{{id, href}, {Text: v.Object.Name}, {Text: strings.TrimSpace(string(v.Object.Class) + " " + v.Object.Type)}, {Text: height}, {Text: shortTime(v.ValidFrom)}}
		if sel.withLive {
			var err error
			if values, err = sel.live.read(v.Position, nil, values); err != nil {
				return err
			}
			row = append(row, cell{Text: c.observed(sel.live, values)})
		}
		t.Rows = append(t.Rows, row)
		title := v.Object.Name
		if title == "" {
			title = id
		}
		m.add(v.Footprint, title, href)
	}
	p.Tables, p.Map = []table{t}, m.make(p.Title)
	return c.show(p)
}

func shortTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// observed is live values in one line.
func (c *call) observed(l *liveReader, values []liveValue) string {
	var parts []string
	for i, v := range values {
		if v.ds != nil {
			parts = append(parts, c.text(l.props[i].Title, l.props[i].TitleEn)+" "+c.valueText(v.ds, v.reading))
		}
	}
	return strings.Join(parts, c.text("；", "; "))
}

func (c *call) valueText(ds *city.Datastream, r city.Reading) string {
	if r.Quality == "missing" {
		return "—"
	}
	if ds.Text {
		return r.Text
	}
	return strings.TrimSpace(strconv.FormatFloat(r.Value, 'f', -1, 64) + " " + ds.UnitSymbol)
}

func (c *call) itemPage(k kind, s search, v *store.Version, l *liveReader) error {
	o := &v.Object
	id := string(appendID(nil, store.Key{Dataset: v.Dataset, ID: o.ID}))
	title := o.Name
	if title == "" {
		title = id
	}
	facts := table{}
	add := func(zh, en, value string) {
		if value != "" {
			facts.Rows = append(facts.Rows, []cell{{Text: c.text(zh, en)}, {Text: value}})
		}
	}
	add("要素标识", "Feature id", id)
	add("数据集", "Dataset", v.Dataset)
	add("源标识", "Identifier in the dataset", o.ID)
	add("要素类", "Element class", string(o.Class))
	add("类型", "Type", o.Type)
	add("CIM 级别", "CIM level", o.Level.String())
	if o.Height.From != "" {
		add("高度", "Height", strconv.FormatFloat(o.Height.Metres, 'f', -1, 64)+" m")
	}
	add("高程基准", "Vertical datum", datumOf(o.CRS))
	add("生效时间", "Valid from", shortTime(v.ValidFrom))
	add("失效时间", "Valid to", shortTime(v.ValidTo))
	p := &sheet{Kind: "table", Title: title, Crumbs: c.crumbs(k, Link{Href: c.page("/collections/" + k.ID + "/items"), Title: c.text("要素", "Features")}), Alternates: others(c.alternates(featureFormats, "")), Tables: []table{facts}}
	values, err := l.read(v.Position, nil, nil)
	if err != nil {
		return err
	}
	if t := c.valuesTable(l, values); len(t.Rows) > 0 {
		p.Tables = append(p.Tables, t)
	}
	if len(o.Attributes) > 0 {
		t := table{Title: c.text("属性", "Attributes")}
		for _, a := range o.Attributes {
			t.Rows = append(t.Rows, []cell{{Text: a.Name}, {Text: a.Value.String()}})
		}
		p.Tables = append(p.Tables, t)
	}
	parts := table{Title: c.text("关联对象", "Related objects")}
	for _, part := range []struct {
		title string
		ids   []string
	}{{c.text("所属", "Part of"), o.Parents}, {c.text("组成", "Parts"), o.Children}} {
		for _, other := range part.ids {
			oid := string(appendID(nil, store.Key{Dataset: v.Dataset, ID: other}))
			parts.Rows = append(parts.Rows, []cell{{Text: part.title}, {oid, c.page("/collections/" + k.ID + "/items/" + pathSegment(oid))}})
		}
	}
	if len(parts.Rows) > 0 {
		p.Tables = append(p.Tables, parts)
	}
	var m chartMaker
	m.add(v.Footprint, title, c.page("/collections/"+k.ID+"/items/"+pathSegment(id)))
	p.Map = m.make(title)
	c.w.Header().Set("Content-Crs", "<"+s.crs.URI()+">")
	return c.show(p)
}

func (c *call) valuesTable(l *liveReader, values []liveValue) table {
	t := table{Title: c.text("实时观测", "Observed now"), Head: []string{c.text("属性", "Property"), c.text("值", "Value"), c.text("时间", "Time"), c.text("质量", "Quality"), c.text("来源", "From")}}
	for i, v := range values {
		if v.ds == nil {
			continue
		}
		t.Rows = append(t.Rows, []cell{{Text: c.text(l.props[i].Title, l.props[i].TitleEn)}, {Text: c.valueText(v.ds, v.reading)}, {Text: shortTime(v.reading.Time)}, {Text: v.reading.Quality}, {Text: c.text(v.ds.TerminalName, v.ds.TerminalNameEn)}})
	}
	return t
}

func (c *call) terminalsPage(k kind, s search, list terminalList) error {
	p := c.itemsSheet(k, s, len(list.terminals), list.next)
	t := table{Head: []string{c.text("终端", "Terminal"), c.text("名称", "Name"), c.text("领域", "Domain"), c.text("行政区", "District"), c.text("状态", "State"), c.text("最新值", "Latest values")}}
	l, err := c.liveReader(s.at)
	if err != nil {
		return err
	}
	var m chartMaker
	for i, x := range list.terminals {
		href := c.page("/collections/" + k.ID + "/items/" + pathSegment(string(escapeID(nil, x.Code, true))))
		t.Rows = append(t.Rows, []cell{{x.Code, href}, {Text: c.text(x.Name, x.NameEn)}, {Text: x.Domain}, {Text: x.District}, {Text: x.State}, {Text: c.observed(l, list.values[i])}})
		m.add(terminalPoint(x), c.text(x.Name, x.NameEn), href)
	}
	p.Tables, p.Map = []table{t}, m.make(p.Title)
	return c.show(p)
}

func (c *call) terminalPage(k kind, s search, x *city.Terminal, values []liveValue) error {
	l, err := c.liveReader(s.at)
	if err != nil {
		return err
	}
	facts := table{}
	for _, f := range [][3]string{{"编码", "Code", x.Code}, {"领域", "Domain", x.Domain}, {"行政区划代码", "District code", x.District}, {"状态", "State", x.State}} {
		facts.Rows = append(facts.Rows, []cell{{Text: c.text(f[0], f[1])}, {Text: f[2]}})
	}
	title := c.text(x.Name, x.NameEn)
	if title == "" {
		title = x.Code
	}
	var m chartMaker
	m.add(terminalPoint(x), title, c.page("/collections/"+k.ID+"/items/"+pathSegment(string(escapeID(nil, x.Code, true)))))
	return c.show(&sheet{Kind: "table", Title: title, Crumbs: c.crumbs(k, Link{Href: c.page("/collections/" + k.ID + "/items"), Title: c.text("要素", "Features")}), Alternates: others(c.alternates(featureFormats, "")),
		Tables: []table{facts, c.valuesTable(l, values)}, Map: m.make(title)})
}

func (c *call) apiPage(doc object) error {
	p := &sheet{Kind: "api", Title: c.text("接口文档", "API documentation"), Crumbs: c.home(), Alternates: others(c.alternates([]format{formatOpenAPI, formatHTML}, "")),
		Lead: c.text("由 OpenAPI 3.0 定义生成。路径在 /ogc 之下。", "Made from the OpenAPI 3.0 definition. Paths are below /ogc.")}
	shared := c.parameterObjects()
	paths, _ := doc["paths"].(object)
	for _, path := range sortedKeys(paths) {
		item, _ := paths[path].(object)
		for _, method := range sortedKeys(item) {
			op, ok := item[method].(object)
			if !ok {
				continue
			}
			o := operation{Method: strings.ToUpper(method), Path: path}
			o.Summary, _ = op["summary"].(string)
			list, _ := op["parameters"].([]any)
			for _, x := range list {
				par, _ := x.(object)
				if r, ok := par["$ref"].(string); ok {
					par, _ = shared[r[strings.LastIndexByte(r, '/')+1:]].(object)
				}
				var out parameter
				out.Name, _ = par["name"].(string)
				out.In, _ = par["in"].(string)
				out.About, _ = par["description"].(string)
				if schema, ok := par["schema"].(object); ok {
					out.Type, _ = schema["type"].(string)
				}
				o.Parameters = append(o.Parameters, out)
			}
			p.Operations = append(p.Operations, o)
		}
	}
	return c.show(p)
}

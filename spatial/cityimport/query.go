package cityimport

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

// Entry is what an import says of its data set for the catalogue. Empty fields
// leave an entry that is there as it is.
type Entry struct {
	Code  string
	Title string
	Owner string // the body that is responsible for the data
	Open  string // unconditional, conditional or none
}

// Parameters are an import as a request to a running hub names it.
type Parameters struct {
	Options Options // without Store, Open, Sources, Progress and Finding
	Entry   Entry
	File    string // name of the file
	// Findings asks for every finding, beside the report's first ones.
	Findings bool
}

// parameters are the names in a query.
var parameters = []string{
	"file", "dataset", "class", "type", "level", "crs", "gcj02", "swapAxes", "complete", "dryRun", "repair", "strict", "skipUnreadable",
	"findings", "id", "title", "owner", "open", "format", "layer", "member", "encoding", "column", "x", "y", "z", "classProperty",
}

// Query writes p as ParseQuery reads it.
func (p *Parameters) Query() url.Values {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	flag := func(name string, value bool) {
		if value {
			q.Set(name, "true")
		}
	}
	o := &p.Options
	set("file", p.File)
	set("dataset", o.Dataset)
	set("class", string(o.Class))
	set("id", o.ID)
	set("type", o.Type)
	set("level", o.Level.String())
	if o.CRS.Known() {
		set("crs", Reference(o.CRS))
	}
	flag("gcj02", o.GCJ02)
	flag("swapAxes", o.SwapAxes)
	flag("complete", o.Complete)
	flag("dryRun", o.DryRun)
	set("repair", string(o.Repair))
	flag("strict", o.Strict)
	flag("skipUnreadable", o.SkipUnreadable)
	flag("findings", p.Findings)
	for name, value := range o.Reading.fields() {
		set(name, *value)
	}
	set("title", p.Entry.Title)
	set("owner", p.Entry.Owner)
	set("open", p.Entry.Open)
	return q
}

// ParseQuery reads the query of a request.
func ParseQuery(q url.Values) (*Parameters, error) {
	bad := func(field, found, expected string) error {
		return &store.Error{Code: store.Invalid, Op: op, Field: field, Message: fmt.Sprintf("found %q, expected %s", found, expected)}
	}
	for name, values := range q {
		if !slices.Contains(parameters, name) {
			return nil, bad("query", name, "one of "+strings.Join(parameters, ", "))
		}
		if len(values) > 1 {
			return nil, bad(name, strings.Join(values, ", "), "one value")
		}
	}
	p := &Parameters{File: q.Get("file")}
	o := &p.Options
	for name, to := range map[string]*bool{
		"gcj02": &o.GCJ02, "swapAxes": &o.SwapAxes, "complete": &o.Complete, "dryRun": &o.DryRun, "strict": &o.Strict,
		"skipUnreadable": &o.SkipUnreadable, "findings": &p.Findings,
	} {
		switch v := q.Get(name); v {
		case "true", "1":
			*to = true
		case "", "false", "0":
		default:
			return nil, bad(name, v, "true or false")
		}
	}
	var err error
	if o.Level, err = ParseLevel(q.Get("level")); err != nil {
		return nil, err
	}
	if o.CRS, err = ParseCRS(q.Get("crs")); err != nil {
		return nil, err
	}
	o.Class, o.Type, o.Repair = spatial.Class(q.Get("class")), q.Get("type"), RepairMode(q.Get("repair"))
	if o.Class != "" && !o.Class.Valid() {
		return nil, bad("class", string(o.Class), fmt.Sprintf("one of %v", spatial.Classes()))
	}
	if o.Repair != "" && o.Repair != RepairSafe && o.Repair != RepairNone {
		return nil, bad("repair", string(o.Repair), "safe or none")
	}
	if o.ID = q.Get("id"); len(o.ID) > 1000 {
		return nil, bad("id", o.ID[:100]+"…", "at most 1000 bytes")
	}
	if err := o.Reading.parse(q, bad); err != nil {
		return nil, err
	}
	if len(o.Type) > 100 {
		return nil, bad("type", o.Type[:100]+"…", "at most 100 bytes")
	}
	if o.Dataset = q.Get("dataset"); o.Dataset == "" {
		o.Dataset = DatasetOf(p.File)
	}
	p.Entry = Entry{Code: o.Dataset, Title: q.Get("title"), Owner: q.Get("owner"), Open: q.Get("open")}
	return p, nil
}

// Reference is c as ParseCRS reads it.
func Reference(c spatial.CRS) string {
	s := "EPSG:" + strconv.Itoa(c.Horizontal)
	if c.Vertical != 0 {
		return s + "+" + strconv.Itoa(c.Vertical)
	}
	if c.VerticalDatum == spatial.Ellipsoid {
		if h, err := crs.ByCode(c.Horizontal); err == nil {
			if with, err := h.WithVertical(crs.Ellipsoidal); err == nil {
				return with.String()
			}
		}
	}
	return s
}

// ParseCRS reads the CRS that is to override a source's; empty: none. It must
// be known.
func ParseCRS(s string) (spatial.CRS, error) {
	if s == "" {
		return spatial.CRS{}, nil
	}
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		s = "EPSG:" + s
	}
	c, err := crs.Parse(s)
	if err != nil {
		return spatial.CRS{}, &store.Error{Code: store.Invalid, Op: op, Field: "crs", Err: err, Hint: "name it e.g. EPSG:4549, or with the datum of heights EPSG:4549+5737"}
	}
	return c.Plain(), nil
}

// ParseLevel reads a CIM level, CIM1 to CIM7 or 1 to 7; empty: not stated.
func ParseLevel(s string) (spatial.CIMLevel, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToUpper(s), "CIM"), 10, 8)
	if err != nil || n < 1 || n > 7 {
		return 0, &store.Error{Code: store.Invalid, Op: op, Field: "level", Message: fmt.Sprintf("found %q, expected CIM1 to CIM7", s)}
	}
	return spatial.CIMLevel(n), nil
}

// maxCode is the longest code of a data set.
const maxCode = 64

// endings are those of city models, the longer ones first.
var endings = []string{".city.jsonl", ".city.json", ".geojsonseq", ".geojsonl", ".geojsons", ".geojson", ".jsonl", ".ndjson", ".json", ".citygml", ".gml", ".xml", ".osm.pbf", ".pbf", ".gpkg", ".shp", ".kmz", ".kml", ".csv", ".zip"}

// DatasetOf makes the code of a data set of the name of a file: its letters and
// digits of ASCII, in lower case, with - between them; empty where there are none.
func DatasetOf(file string) string {
	if i := strings.LastIndexAny(file, `/\`); i >= 0 {
		file = file[i+1:]
	}
	name := strings.ToLower(file)
	for _, e := range endings {
		if s, ok := strings.CutSuffix(name, e); ok {
			name = s
			break
		}
	}
	var b strings.Builder
	gap := false
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' {
			gap = b.Len() > 0
			continue
		}
		if gap {
			b.WriteByte('-')
			gap = false
		}
		b.WriteRune(c)
	}
	code := b.String()
	if len(code) > maxCode {
		code = code[:maxCode]
	}
	return strings.Trim(code, "-._")
}

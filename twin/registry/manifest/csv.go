package manifest

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strconv"
	"strings"

	"cityhub/twin"
)

// csvColumns maps the columns to the fields of a terminal (FORMAT.md).
var csvColumns = []struct {
	name     string
	field    string // path below the terminal or, for property columns, below the property
	property bool
}{
	{"code", "code", false}, {"name", "name", false}, {"nameEn", "nameEn", false}, {"description", "description", false},
	{"domain", "domain", false}, {"district", "district", false}, {"state", "state", false},
	{"lon", "location.lon", false}, {"lat", "location.lat", false}, {"height", "location.height", false}, {"heightDatum", "location.heightDatum", false},
	{"dataset", "dataset", false}, {"sensorName", "sensor.name", false}, {"sensorDescription", "sensor.description", false},
	{"sensorEncodingType", "sensor.encodingType", false}, {"sensorMetadata", "sensor.metadata", false},
	{"simulated", "simulated", false}, {"legalBasis", "legalBasis", false}, {"purpose", "purpose", false},
	{"observes", "observes", false}, {"username", "credentials.username", false}, {"password", "credentials.password", false},
	{"property", "name", true}, {"title", "title", true}, {"titleEn", "titleEn", true}, {"definition", "definition", true},
	{"propertyDescription", "description", true}, {"unit", "unit.ucum", true}, {"unitName", "unit.name", true}, {"unitSymbol", "unit.symbol", true}, {"type", "type", true},
}

// ParseCSV reads a CSV manifest: one row for each property of each terminal;
// file names it in errors. Errors are as of ParseYAML.
func ParseCSV(file string, r io.Reader) (*Manifest, error) {
	src, err := readAll(file, r)
	if err != nil {
		return nil, err
	}
	x := &csvReader{
		c: &Collector{Op: "read manifest", File: file}, m: &Manifest{},
		byCode: map[string]int{}, defs: map[string]*Property{}, intern: map[Property]*Property{}, texts: map[string]string{},
	}
	x.r = csv.NewReader(bytes.NewReader(src))
	x.r.ReuseRecord, x.r.FieldsPerRecord = true, -1
	if x.header() {
		x.rows()
		x.m.check(x.c, x.lineOf)
	}
	x.rename()
	if err := x.c.Err(); err != nil {
		return nil, err
	}
	return x.m, nil
}

type csvReader struct {
	r       *csv.Reader
	c       *Collector
	m       *Manifest
	columns []int          // of each field of a row, an index of csvColumns; -1: an extra
	extras  map[int]string // field of a row → name below extra
	at      [64]int        // index of csvColumns → field of a row, -1: the file lacks it
	byCode  map[string]int // terminal's code → index in m.Terminals
	lines   [][]int        // [terminal][property] → line
	defs    map[string]*Property
	intern  map[Property]*Property
	texts   map[string]string
	row     []string
	line    int
}

// header reads the first row; false: nothing can be read.
func (x *csvReader) header() bool {
	row, err := x.r.Read()
	if errors.Is(err, io.EOF) {
		x.c.Add(Problem{Line: 1, Found: "an empty file", Expected: "a header row"})
		return false
	}
	if err != nil {
		x.syntax(err)
		return false
	}
	for i := range x.at {
		x.at[i] = -1
	}
	known := make([]string, len(csvColumns))
	for i, c := range csvColumns {
		known[i] = c.name
	}
	if len(row) == 1 && strings.ContainsAny(row[0], ";\t") {
		x.c.Add(Problem{Line: 1, Found: quote(row[0]), Expected: "columns separated by commas", Hint: "save the file as CSV with commas"})
		return false
	}
	x.extras = map[int]string{}
	ok := true
	for i, name := range row {
		name = strings.TrimSpace(name)
		if rest, extra := strings.CutPrefix(name, "extra."); extra && rest != "" {
			x.extras[i] = rest
			x.columns = append(x.columns, -1)
			continue
		}
		at := -1
		for j, k := range known {
			if k == name {
				at = j
			}
		}
		switch {
		case at < 0:
			hint := did(name, known)
			if hint == "" {
				hint = "the columns are " + strings.Join(known, ", ") + " and extra.…"
			}
			x.c.Add(Problem{Line: 1, Field: name, Found: "the unknown column " + quote(name), Expected: "a column of the manifest", Hint: hint})
			ok = false
		case x.at[at] >= 0:
			x.c.Add(Problem{Line: 1, Field: name, Found: "the column a second time", Expected: "every column once"})
			ok = false
		default:
			x.at[at] = i
		}
		x.columns = append(x.columns, at)
	}
	for _, must := range []string{"code", "name", "domain", "dataset", "property", "title"} {
		for j, k := range known {
			if k == must && x.at[j] < 0 && ok {
				x.c.Add(Problem{Line: 1, Field: must, Expected: "a column " + quote(must)})
			}
		}
	}
	return len(x.c.problems) == 0
}

func (x *csvReader) syntax(err error) {
	var pe *csv.ParseError
	if errors.As(err, &pe) {
		x.c.Add(Problem{Line: pe.Line, Found: "text that is not CSV: " + pe.Err.Error(), Expected: "CSV", Hint: "a quote inside a quoted text is doubled"})
		return
	}
	x.c.Add(Problem{Found: "a row that cannot be read: " + err.Error(), Expected: "CSV"})
}

func (x *csvReader) rows() {
	for !x.c.Full() {
		row, err := x.r.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			x.syntax(err)
			return
		}
		x.line, _ = x.r.FieldPos(0)
		if len(row) != len(x.columns) {
			if len(row) == 1 && strings.TrimSpace(row[0]) == "" {
				continue
			}
			x.c.Add(Problem{Line: x.line, Found: strconv.Itoa(len(row)) + " columns", Expected: strconv.Itoa(len(x.columns)) + " as in the header", Hint: "a text with a comma needs quotes"})
			continue
		}
		blank := true
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
			blank = blank && row[i] == ""
		}
		if !blank {
			x.row = row
			x.terminal()
		}
	}
}

// get is the cell of a column. Equal cells share one string.
func (x *csvReader) get(column string) string {
	for j := range csvColumns {
		if csvColumns[j].name == column {
			if x.at[j] < 0 {
				return ""
			}
			return x.share(x.row[x.at[j]])
		}
	}
	return ""
}

func (x *csvReader) share(s string) string {
	if s == "" {
		return ""
	}
	if t, ok := x.texts[s]; ok {
		return t
	}
	if len(x.texts) > 1<<16 { // mostly texts that stand once: start over
		clear(x.texts)
	}
	s = strings.Clone(s) // a cell holds the memory of its whole row
	x.texts[s] = s
	return s
}

func (x *csvReader) terminal() {
	code := x.get("code")
	if code == "" {
		x.c.Add(Problem{Line: x.line, Field: "code", Expected: "the terminal's code, in every row"})
		return
	}
	i, known := x.byCode[code]
	if known {
		x.same(&x.m.Terminals[i])
	} else {
		i = len(x.m.Terminals)
		x.byCode[code] = i
		x.m.Terminals = append(x.m.Terminals, x.read(code))
		x.lines = append(x.lines, nil)
	}
	if p := x.property(); p != nil {
		x.m.Terminals[i].Properties = append(x.m.Terminals[i].Properties, p)
		x.lines[i] = append(x.lines[i], x.line)
	}
}

// read makes a terminal of the row's terminal columns.
func (x *csvReader) read(code string) Terminal {
	t := Terminal{
		Code: code, Name: x.get("name"), NameEn: x.get("nameEn"), Description: x.get("description"),
		Domain: twin.Domain(x.get("domain")), District: x.get("district"), State: twin.TerminalState(x.get("state")), Dataset: x.get("dataset"),
		Sensor:     Sensor{Name: x.get("sensorName"), Description: x.get("sensorDescription"), EncodingType: x.get("sensorEncodingType"), Metadata: x.get("sensorMetadata")},
		LegalBasis: x.get("legalBasis"), Purpose: x.get("purpose"), Properties: []*Property{}, Line: x.line,
	}
	if s := x.get("observes"); s != "" {
		t.Observes = Observes{otherProperties: s}
	}
	if s := x.get("simulated"); s != "" {
		v, ok := parseBool(s)
		if !ok {
			x.c.Add(Problem{Line: x.line, Field: "simulated", Found: quote(s), Expected: "true or false"})
		}
		t.Simulated = v
	}
	lon, lat, height, datum := x.get("lon"), x.get("lat"), x.get("height"), x.get("heightDatum")
	if lon != "" || lat != "" || height != "" || datum != "" {
		l := &Location{HeightDatum: datum}
		okLon := x.number("lon", lon, "degrees as a number", &l.Lon)
		okLat := x.number("lat", lat, "degrees as a number", &l.Lat)
		if height != "" {
			var h float64
			if x.number("height", height, "metres as a number", &h) {
				l.Height = &h
			}
		}
		if okLon && okLat {
			t.Location = l
		}
	}
	if u, p := x.get("username"), x.get("password"); u != "" || p != "" {
		t.Credentials = &Credentials{Username: u, Password: p}
	}
	for i, name := range x.extras {
		if v := x.row[i]; v != "" {
			if t.Extra == nil {
				t.Extra = map[string]any{}
			}
			t.Extra[name] = x.share(v)
		}
	}
	return t
}

func (x *csvReader) number(column, s, expected string, to *float64) bool {
	f, ok := parseNumber(s)
	if !ok {
		p := Problem{Line: x.line, Field: column, Expected: expected}
		if s != "" {
			p.Found = quote(s)
		}
		x.c.Add(p)
		return false
	}
	*to = f
	return true
}

// same checks that a further row of terminal t leaves the terminal's columns
// empty or repeats them.
func (x *csvReader) same(t *Terminal) {
	num := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	for j, c := range csvColumns {
		if c.property || x.at[j] < 0 || x.row[x.at[j]] == "" {
			continue
		}
		cell, first := x.row[x.at[j]], ""
		switch c.name {
		case "code":
			continue
		case "name":
			first = t.Name
		case "nameEn":
			first = t.NameEn
		case "description":
			first = t.Description
		case "domain":
			first = string(t.Domain)
		case "district":
			first = t.District
		case "state":
			first = string(t.State)
		case "lon", "lat", "height", "heightDatum":
			if t.Location == nil {
				break
			}
			switch f, _ := parseNumber(cell); {
			case c.name == "heightDatum":
				first = t.Location.HeightDatum
			case c.name == "lon" && f == t.Location.Lon, c.name == "lat" && f == t.Location.Lat, c.name == "height" && t.Location.Height != nil && f == *t.Location.Height:
				first = cell // written differently, but equal
			case c.name == "lon":
				first = num(t.Location.Lon)
			case c.name == "lat":
				first = num(t.Location.Lat)
			}
		case "dataset":
			first = t.Dataset
		case "sensorName":
			first = t.Sensor.Name
		case "sensorDescription":
			first = t.Sensor.Description
		case "sensorEncodingType":
			first = t.Sensor.EncodingType
		case "sensorMetadata":
			first = t.Sensor.Metadata
		case "simulated":
			if v, ok := parseBool(cell); ok && v == t.Simulated {
				first = cell
			}
		case "legalBasis":
			first = t.LegalBasis
		case "purpose":
			first = t.Purpose
		case "observes":
			first = t.Observes.Of("")
		case "username":
			if t.Credentials != nil {
				first = t.Credentials.Username
			}
		case "password":
			if t.Credentials != nil && t.Credentials.Password == cell {
				continue
			}
			x.c.Add(Problem{Line: x.line, Field: "password", Found: "another value", Expected: "the value of line " + strconv.Itoa(t.Line) + ", or nothing"})
			continue
		}
		if cell != first {
			x.c.Add(Problem{Line: x.line, Field: c.name, Found: quote(cell), Expected: "the value of line " + strconv.Itoa(t.Line) + ", or nothing: it is the same terminal"})
		}
	}
	for f, name := range x.extras {
		if v := x.row[f]; v != "" && t.Extra[name] != v {
			x.c.Add(Problem{Line: x.line, Field: "extra." + name, Found: quote(v), Expected: "the value of line " + strconv.Itoa(t.Line) + ", or nothing: it is the same terminal"})
		}
	}
}

// property makes a property of the row's property columns. When only the name
// is given, the definition of an earlier row is meant.
func (x *csvReader) property() *Property {
	p := Property{
		Name: x.get("property"), Title: x.get("title"), TitleEn: x.get("titleEn"), Definition: x.get("definition"),
		Description: x.get("propertyDescription"), Type: Type(x.get("type")),
	}
	ucum, name, symbol := x.get("unit"), x.get("unitName"), x.get("unitSymbol")
	switch {
	case name != "" || symbol != "":
		p.Unit = Unit{Name: name, Symbol: symbol, UCUM: ucum}
		if common, ok := commonUnit(ucum); ok {
			if name == "" {
				p.Unit.Name = common.Name
			}
			if symbol == "" {
				p.Unit.Symbol = common.Symbol
			}
		}
	case ucum != "":
		p.Unit = UnitOf(ucum)
	}
	if p == (Property{}) {
		return nil // a terminal that publishes nothing yet
	}
	if p == (Property{Name: p.Name}) {
		if def, ok := x.defs[p.Name]; ok {
			return def
		}
		x.c.Add(Problem{Line: x.line, Field: "title", Expected: "a title and a unit for " + quote(p.Name), Hint: "the first row with a property defines it; later rows may give its name alone"})
		return nil
	}
	if p.Type == "" {
		p.Type = TypeMeasurement
	}
	if same, ok := x.intern[p]; ok {
		return same
	}
	x.intern[p] = &p
	if _, ok := x.defs[p.Name]; !ok {
		x.defs[p.Name] = &p
	}
	return &p
}

// lineOf is the locator of Manifest.check.
func (x *csvReader) lineOf(path string) int {
	i, rest, ok := index(path, "terminals[")
	if !ok || i >= len(x.lines) {
		return 1
	}
	if j, _, ok := index(rest, ".properties["); ok && j < len(x.lines[i]) {
		return x.lines[i][j]
	}
	return x.m.Terminals[i].Line
}

// index cuts prefix, a number and "]" off path.
func index(path, prefix string) (n int, rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, prefix)
	if !ok {
		return 0, path, false
	}
	num, rest, ok := strings.Cut(rest, "]")
	n, err := strconv.Atoi(num)
	return n, rest, ok && err == nil
}

// rename gives the check's paths the names of the columns.
func (x *csvReader) rename() {
	for i := range x.c.problems {
		p := &x.c.problems[i]
		_, rest, ok := index(p.Field, "terminals[")
		if !ok {
			continue
		}
		rest = strings.TrimPrefix(rest, ".")
		property := false
		if _, below, ok := index(rest, "properties["); ok {
			rest, property = strings.TrimPrefix(below, "."), true
		}
		p.Field = rest
		for _, c := range csvColumns {
			if c.property == property && (c.field == rest || (rest == "unit" && c.name == "unit") || (rest == "location" && c.name == "lon")) {
				p.Field = c.name
			}
		}
	}
}

package manifest

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"cityhub/twin"
)

// locator gives the file line of a field's path; 0: not from a file.
type locator func(path string) int

// Check normalizes m and reports every mistake in it as an *Error. It cannot
// know whether a dataset that m does not define is registered already: the
// import does.
func (m *Manifest) Check() error {
	c := &Collector{Op: "check manifest"}
	m.check(c, nil)
	return c.Err()
}

// Check normalizes d and reports its mistakes as an *Error.
func (d *Dataset) Check() error {
	c := &Collector{Op: "check dataset"}
	d.Normalize()
	d.check(checker{c: c})
	return c.Err()
}

// Check normalizes t and reports its mistakes as an *Error.
func (t *Terminal) Check() error {
	c := &Collector{Op: "check terminal"}
	t.Normalize()
	t.check(checker{c: c})
	return c.Err()
}

type checker struct {
	c      *Collector
	prefix string
	line   locator
}

func (k checker) at(path string) checker { k.prefix = path; return k }

func (k checker) add(field, found, expected, hint string) {
	path := field
	switch {
	case k.prefix != "" && field != "":
		path = k.prefix + "." + field
	case field == "":
		path = k.prefix
	}
	p := Problem{Field: path, Found: found, Expected: expected, Hint: hint}
	if k.line != nil {
		p.Line = k.line(path)
	}
	k.c.Add(p)
}

func (m *Manifest) check(c *Collector, line locator) {
	m.Normalize()
	k := checker{c: c, line: line}
	datasets := make(map[string]string, len(m.Datasets))
	for i := range m.Datasets {
		k := k.at("datasets[" + strconv.Itoa(i) + "]")
		m.Datasets[i].check(k)
		k.unique(datasets, "code", m.Datasets[i].Code)
	}
	terminals := make(map[string]string, len(m.Terminals))
	users := make(map[string]string)
	var seen titles
	for i := range m.Terminals {
		if c.Full() {
			return
		}
		t := &m.Terminals[i]
		k := k.at("terminals[" + strconv.Itoa(i) + "]")
		t.check(k)
		k.unique(terminals, "code", t.Code)
		if t.Credentials != nil {
			k.unique(users, "credentials.username", t.Credentials.Username)
		}
		seen.check(k, t)
	}
}

// unique reports a value that stood elsewhere already.
func (k checker) unique(seen map[string]string, field, value string) {
	if value == "" {
		return
	}
	path := k.prefix + "." + field
	if first, dup := seen[value]; dup {
		where := first
		if k.line != nil {
			where = "line " + strconv.Itoa(k.line(first))
		}
		k.add(field, quote(value)+" a second time", "a "+field[strings.LastIndexByte(field, '.')+1:]+" that stands once", "it stands at "+where+" already")
		return
	}
	seen[value] = path
}

// titles finds two definitions of one ObservedProperty that differ.
type titles struct {
	seen map[[2]string]*Property
	ok   map[*Property]struct{}
}

func (s *titles) check(k checker, t *Terminal) {
	if s.seen == nil {
		s.seen, s.ok = map[[2]string]*Property{}, map[*Property]struct{}{}
	}
	for j, p := range t.Properties {
		if p == nil {
			continue
		}
		if _, ok := s.ok[p]; ok {
			continue
		}
		s.ok[p] = struct{}{}
		key := [2]string{p.Name, p.Definition}
		q, ok := s.seen[key]
		if !ok {
			s.seen[key] = p
			continue
		}
		if p.Title != q.Title || p.TitleEn != q.TitleEn || p.Description != q.Description {
			k.add("properties["+strconv.Itoa(j)+"].title", quote(p.Title), "the definition of "+p.Name+" used before in this manifest, titled "+quote(q.Title),
				"two phenomena of one name need different definition URIs")
		}
	}
}

func (d *Dataset) check(k checker) {
	k.code("code", d.Code)
	k.text("title", d.Title, maxNameRunes, true, true)
	k.text("titleEn", d.TitleEn, maxNameRunes, false, true)
	k.text("description", d.Description, maxTextRunes, false, false)
	// 苏州市数据条例 第八条: one responsible body for all data (R01).
	if strings.TrimSpace(d.Owner) == "" {
		k.add("owner", "", "the one body that is responsible for the data", "")
	} else {
		k.text("owner", d.Owner, maxNameRunes, true, true)
	}
	// 苏州市数据条例 第十四条: three classes of opening (R32).
	if !d.Open.Valid() {
		k.add("open", quote(string(d.Open)), "unconditional, conditional or none", did(string(d.Open), []string{"unconditional", "conditional", "none"}))
	}
}

func (t *Terminal) check(k checker) {
	k.code("code", t.Code)
	k.text("name", t.Name, maxNameRunes, true, true)
	k.text("nameEn", t.NameEn, maxNameRunes, false, true)
	k.text("description", t.Description, maxTextRunes, false, false)
	if !t.Domain.Valid() {
		var names []string
		for _, d := range twin.Domains() {
			names = append(names, string(d))
		}
		found := ""
		if t.Domain != "" {
			found = quote(string(t.Domain))
		}
		k.add("domain", found, "one of "+strings.Join(names, ", "), did(string(t.Domain), names))
	}
	if t.District != "" {
		k.code("district", t.District)
	}
	if !t.State.Valid() {
		states := []string{"planned", "active", "fault", "maintenance", "retired"}
		k.add("state", quote(string(t.State)), "one of "+strings.Join(states, ", "), did(string(t.State), states))
	}
	if t.Location != nil {
		t.Location.check(k)
	}
	k.code("dataset", t.Dataset)
	k.text("sensor.name", t.Sensor.Name, maxNameRunes, t.Sensor != Sensor{}, true)
	k.text("sensor.description", t.Sensor.Description, maxTextRunes, false, false)
	k.text("sensor.encodingType", t.Sensor.EncodingType, maxNameRunes, false, true)
	k.text("sensor.metadata", t.Sensor.Metadata, maxTextRunes, false, false)
	k.text("legalBasis", t.LegalBasis, maxTextRunes, false, false)
	k.text("purpose", t.Purpose, maxTextRunes, false, false)
	if c := t.Credentials; c != nil {
		k.secret("credentials.username", c.Username, true)
		k.secret("credentials.password", c.Password, false)
	}
	t.checkProperties(k)
	t.Observes.check(k, t.Properties)
	if len(t.Extra) > 0 {
		if b, err := json.Marshal(t.Extra); err != nil {
			k.add("extra", "a value that JSON cannot hold", "texts, numbers, booleans, lists and mappings", "")
		} else if len(b) > MaxExtraBytes {
			k.add("extra", fmt.Sprintf("%d bytes", len(b)), fmt.Sprintf("at most %d bytes as JSON", MaxExtraBytes), "")
		}
	}
}

func (t *Terminal) checkProperties(k checker) {
	if t.Properties == nil {
		k.add("properties", "", "the list of what the terminal observes", "write [] for a terminal that publishes nothing yet")
		return
	}
	if len(t.Properties) > MaxProperties {
		k.add("properties", strconv.Itoa(len(t.Properties))+" properties", fmt.Sprintf("at most %d", MaxProperties), "")
		return
	}
	var few [16]*Property // most terminals: no map
	names := few[:0]
	for j, p := range t.Properties {
		path := func() checker { return k.at(k.prefixed("properties[" + strconv.Itoa(j) + "]")) }
		if p == nil {
			path().add("", "", "a property", "")
			continue
		}
		if problem := p.wrong(); problem {
			p.check(path())
		}
		for _, q := range names {
			if q.Name == p.Name && p.Name != "" {
				path().add("name", quote(p.Name)+" a second time", "a property that the terminal has once", "")
				break
			}
		}
		names = append(names, p)
	}
}

func (k checker) prefixed(s string) string {
	if k.prefix == "" {
		return s
	}
	return k.prefix + "." + s
}

// wrong says quickly whether check would find something.
func (p *Property) wrong() bool {
	c := &Collector{}
	p.check(checker{c: c})
	return len(c.problems) > 0
}

func (p *Property) check(k checker) {
	if hint := badPropertyName(p.Name); hint != "" {
		found := ""
		if p.Name != "" {
			found = quote(p.Name)
		}
		k.add("name", found, "a short name of 1–64 letters, digits or . _ - : /", hint)
	}
	k.text("title", p.Title, maxNameRunes, true, true)
	k.text("titleEn", p.TitleEn, maxNameRunes, false, true)
	k.text("description", p.Description, maxTextRunes, false, false)
	if p.Definition != "" && (strings.ContainsFunc(p.Definition, unicode.IsSpace) || !strings.Contains(p.Definition, ":") || len(p.Definition) > maxTextRunes) {
		k.add("definition", quote(p.Definition), "a URI", "e.g. http://dd.eionet.europa.eu/vocabulary/aq/pollutant/6001")
	}
	result := p.Type.Result()
	if result == "" {
		types := []string{"measurement", "count", "text", "truth"}
		k.add("type", quote(string(p.Type)), "measurement, count, text or truth", did(string(p.Type), types))
	}
	switch {
	case p.Unit == Unit{}:
		if result == twin.ResultMeasurement {
			k.add("unit", "", "a UCUM code or {name, symbol, ucum}", "a measurement needs a unit: write \"1\" if it has none")
		}
	case !validUCUM(p.Unit.UCUM):
		found, hint := "", "e.g. ug/m3, Cel, %, 1"
		if p.Unit.UCUM != "" {
			found = quote(p.Unit.UCUM)
			if s := asciiUnit(p.Unit.UCUM); s != "" {
				hint = "did you mean " + s + "? the symbol to show has its own field"
			}
		}
		k.add("unit.ucum", found, "a UCUM code, printable ASCII without blanks", hint)
	default:
		k.text("unit.name", p.Unit.Name, maxNameRunes, true, true)
		k.text("unit.symbol", p.Unit.Symbol, maxCodeLen, false, true)
	}
}

// ValidPropertyName reports whether s can name a property: 1–64 letters or
// digits of any script or . _ - : /; "t" alone is the time of a json payload.
func ValidPropertyName(s string) bool { return badPropertyName(s) == "" }

func badPropertyName(s string) string {
	const hint = "it is the key in the payload, e.g. pm25"
	if s == "t" {
		return "t is the time of a json payload"
	}
	if s == "" || !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxCodeLen {
		return hint
	}
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !strings.ContainsRune("._-:/", r) {
			return hint
		}
	}
	return ""
}

// ValidCode reports whether s can be a terminal's or a dataset's code: 1–64
// of [A-Za-z0-9._-], because it stands in MQTT topics.
func ValidCode(s string) bool {
	if s == "" || len(s) > maxCodeLen {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func (k checker) code(field, s string) {
	if ValidCode(s) {
		return
	}
	found, hint := "", ""
	if s != "" {
		found, hint = quote(s), "it stands in MQTT topics and addresses"
	}
	k.add(field, found, "1–64 of A–Z a–z 0–9 . _ -", hint)
}

func (k checker) text(field, s string, maxRunes int, required, oneLine bool) {
	if s == "" && !required {
		return
	}
	switch {
	case strings.TrimSpace(s) == "" && required:
		k.add(field, "", "a text", "")
	case !utf8.ValidString(s):
		k.add(field, quote(s), "valid UTF-8", "save the file as UTF-8")
	case len(s) > maxRunes && utf8.RuneCountInString(s) > maxRunes:
		k.add(field, strconv.Itoa(utf8.RuneCountInString(s))+" characters", fmt.Sprintf("at most %d", maxRunes), "")
	default:
		for _, r := range s {
			if unicode.IsControl(r) && (oneLine || r != '\n' && r != '\t') {
				k.add(field, quote(s), "a text without control characters", "")
				return
			}
		}
	}
}

// secret never shows the value: it may be a password.
func (k checker) secret(field, s string, show bool) {
	switch {
	case s == "":
		k.add(field, "", "a text", "")
	case len(s) > maxSecretBytes:
		k.add(field, strconv.Itoa(len(s))+" bytes", fmt.Sprintf("at most %d bytes", maxSecretBytes), "")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		found := "control characters"
		if show {
			found = quote(s)
		}
		k.add(field, found, "valid UTF-8 without control characters", "")
	}
}

func (l *Location) check(k checker) {
	const swapped = "lon and lat look swapped: China lies between lon 73 and 136, lat 3 and 54"
	num := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	inChinaSwapped := l.Lat >= 73 && l.Lat <= 136 && l.Lon >= 3 && l.Lon <= 54
	hint := ""
	if inChinaSwapped {
		hint = swapped
	}
	bad := false
	if !(l.Lon >= -180 && l.Lon <= 180) {
		k.add("location.lon", num(l.Lon), "degrees from -180 to 180", hint)
		bad = true
	}
	if !(l.Lat >= -90 && l.Lat <= 90) {
		k.add("location.lat", num(l.Lat), "degrees from -90 to 90", hint)
		bad = true
	}
	switch {
	case bad:
	case inChinaSwapped:
		// Western China swapped is still within range, in the Arctic Ocean.
		k.add("location.lat", num(l.Lat), "the latitude of a place in a city", swapped)
	case l.Lon == 0 && l.Lat == 0:
		k.add("location", "lon 0, lat 0", "where the terminal stands", "leave location out when it is not known")
	}
	if h := l.Height; h != nil && (math.IsNaN(*h) || *h < -12000 || *h > 100000) {
		k.add("location.height", num(*h), "metres from -12000 to 100000", "")
	}
	k.text("location.heightDatum", l.HeightDatum, maxCodeLen, false, true)
	if l.HeightDatum != "" && l.Height == nil {
		k.add("location.height", "", "metres, because heightDatum is given", "")
	}
}

func did(s string, known []string) string {
	if w := suggest(s, known); w != "" {
		return "did you mean " + w + "?"
	}
	return ""
}

package crs

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxIdentifier bounds what Parse reads, in bytes: the longest identifier,
// a crs-compound URI, has about 120.
const maxIdentifier = 512

const expected = "EPSG:<code>, urn:ogc:def:crs:EPSG::<code> or http://www.opengis.net/def/crs/EPSG/0/<code>"

// Parse finds the CRS that a text names. It reads
//
//   - authority and code: EPSG:4326, OGC:CRS84, [EPSG:4326] (a safe CURIE),
//     EPSG:28992+5709 (horizontal and vertical); CRS84 and CRS84h alone;
//   - URNs (OGC 07-092r3): urn:ogc:def:crs:EPSG::4326, with or without a version,
//     urn:ogc:def:crs:OGC:1.3:CRS84, and the compound
//     urn:ogc:def:crs,crs:EPSG::28992,crs:EPSG::5709;
//   - URIs (OGC 09-048r5), http or https: http://www.opengis.net/def/crs/EPSG/0/4326
//     with any version, …/def/crs/OGC/1.3/CRS84, and
//     …/def/crs-compound?1=…&2=…;
//   - GML 3.1's http://www.opengis.net/gml/srs/epsg.xml#4326.
//
// Upper and lower case are not told apart; space around the text is ignored.
// A version is read and ignored: codes keep their meaning. Parse says nothing
// about the order of coordinates, which depends on the document in which the
// text stands: see AxisOrder.
//
// The error is a *SyntaxError when the text has none of these forms, an
// *UnknownError when its CRS is not known here, a *VerticalError when its two
// parts cannot be combined.
func Parse(s string) (*CRS, error) {
	r, err := parse(s)
	if err != nil {
		return nil, err
	}
	c, err := lookup(r.authority, r.code)
	if err != nil || r.vertical == "" {
		return c, err
	}
	return combine(c, r.vertical)
}

// reference is what a text names: authority in capitals, code in lower case,
// and the EPSG code of a vertical CRS, or empty.
type reference struct{ authority, code, vertical string }

// parse takes a text apart and says nothing about whether its CRS is known.
func parse(s string) (reference, error) {
	t := strings.TrimSpace(s)
	if len(t) > maxIdentifier {
		return reference{}, syntaxError(s, "at most "+strconv.Itoa(maxIdentifier)+" bytes")
	}
	low := strings.ToLower(t)
	if strings.HasPrefix(low, "[") && strings.HasSuffix(low, "]") {
		low = low[1 : len(low)-1]
	}
	if rest, ok := cutAny(low, "http://", "https://"); ok {
		return parseURI(s, rest)
	}
	if rest, ok := cutAny(low, "urn:ogc:def:", "urn:x-ogc:def:"); ok {
		return parseURN(s, rest)
	}
	authority, code, ok := strings.Cut(low, ":")
	if !ok {
		if isDigits(low) {
			return reference{}, syntaxError(s, "an authority before the code, as in EPSG:"+low)
		}
		switch low {
		case "crs84", "crs84h":
			return named(s, "ogc", low)
		case "gcj-02", "gcj02":
			return reference{}, syntaxError(s, "a reference system; GCJ-02 is none: declare it as the input's encoding, and it is converted by GCJ02")
		case "bd-09", "bd09", "bd09ll":
			return reference{}, syntaxError(s, "a reference system; BD-09 is none and is not read: export the data in WGS 84 or GCJ-02")
		}
		return reference{}, syntaxError(s, expected)
	}
	code = strings.TrimPrefix(code, ":") // EPSG::4326
	horizontal, vertical, compound := strings.Cut(code, "+")
	r, err := named(s, authority, horizontal)
	if err != nil || !compound {
		return r, err
	}
	return r.with(s, authority, strings.TrimPrefix(vertical, authority+":"))
}

// parseURN reads what follows urn:ogc:def:.
func parseURN(s, rest string) (reference, error) {
	if parts, ok := strings.CutPrefix(rest, "crs,"); ok {
		first, second, found := strings.Cut(parts, ",")
		h, hOK := strings.CutPrefix(first, "crs:")
		v, vOK := strings.CutPrefix(second, "crs:")
		if !found || !hOK || !vOK {
			return reference{}, syntaxError(s, "a horizontal and a vertical CRS: urn:ogc:def:crs,crs:EPSG::28992,crs:EPSG::5709")
		}
		r, err := urnPart(s, h)
		if err != nil {
			return reference{}, err
		}
		authority, code, ok := urnFields(v)
		if !ok {
			return reference{}, syntaxError(s, "authority:version:code of the vertical CRS")
		}
		return r.with(s, authority, code)
	}
	part, ok := strings.CutPrefix(rest, "crs:")
	if !ok {
		return reference{}, syntaxError(s, "urn:ogc:def:crs:<authority>:<version>:<code>")
	}
	return urnPart(s, part)
}

func urnPart(s, part string) (reference, error) {
	authority, code, ok := urnFields(part)
	if !ok {
		return reference{}, syntaxError(s, "urn:ogc:def:crs:<authority>:<version>:<code>")
	}
	return named(s, authority, code)
}

// urnFields splits authority:version:code, or authority:code as older writers
// have it.
func urnFields(part string) (authority, code string, ok bool) {
	switch fields := strings.Split(part, ":"); len(fields) {
	case 2:
		return fields[0], fields[1], true
	case 3:
		return fields[0], fields[2], true
	}
	return "", "", false
}

// parseURI reads what follows http:// or https://.
func parseURI(s, rest string) (reference, error) {
	const uriExpected = "http://www.opengis.net/def/crs/<authority>/<version>/<code>"
	path, ok := cutAny(rest, "www.opengis.net/", "opengis.net/")
	if !ok {
		return reference{}, syntaxError(s, uriExpected)
	}
	if code, ok := strings.CutPrefix(path, "gml/srs/epsg.xml#"); ok {
		return named(s, "epsg", code)
	}
	if query, ok := strings.CutPrefix(path, "def/crs-compound?"); ok {
		return parseCompound(s, query)
	}
	authority, code, ok := uriFields(path)
	if !ok {
		return reference{}, syntaxError(s, uriExpected)
	}
	return named(s, authority, code)
}

// uriFields splits def/crs/<authority>/<version>/<code>.
func uriFields(path string) (authority, code string, ok bool) {
	fields := strings.Split(strings.TrimSuffix(path, "/"), "/")
	if len(fields) != 5 || fields[0] != "def" || fields[1] != "crs" {
		return "", "", false
	}
	return fields[2], fields[4], true
}

// parseCompound reads 1=<URI of the horizontal CRS>&2=<URI of the vertical one>.
func parseCompound(s, query string) (reference, error) {
	const compoundExpected = "http://www.opengis.net/def/crs-compound?1=<horizontal CRS>&2=<vertical CRS>"
	first, second, found := strings.Cut(query, "&")
	h, hOK := strings.CutPrefix(first, "1=")
	v, vOK := strings.CutPrefix(second, "2=")
	if !found || !hOK || !vOK {
		return reference{}, syntaxError(s, compoundExpected)
	}
	var fields [2][2]string
	for i, uri := range []string{h, v} {
		rest, ok := cutAny(uri, "http://www.opengis.net/", "https://www.opengis.net/", "http://opengis.net/", "https://opengis.net/")
		if !ok {
			return reference{}, syntaxError(s, compoundExpected)
		}
		if fields[i][0], fields[i][1], ok = uriFields(rest); !ok {
			return reference{}, syntaxError(s, compoundExpected)
		}
	}
	r, err := named(s, fields[0][0], fields[0][1])
	if err != nil {
		return reference{}, err
	}
	return r.with(s, fields[1][0], fields[1][1])
}

// named is the reference of authority and code, both in lower case.
func named(s, authority, code string) (reference, error) {
	switch {
	case !isWord(authority):
		return reference{}, syntaxError(s, expected)
	case code == "":
		return reference{}, syntaxError(s, "a code after the authority")
	case authority == "epsg" && !isDigits(code):
		return reference{}, syntaxError(s, "a number as the EPSG code")
	case authority == "crs" && code == "84":
		authority, code = "ogc", "crs84" // CRS:84 of WMS 1.3
	}
	return reference{authority: strings.ToUpper(authority), code: code}, nil
}

// with adds a vertical CRS.
func (r reference) with(s, authority, code string) (reference, error) {
	if authority != "epsg" || !isDigits(code) {
		return reference{}, syntaxError(s, "an EPSG code of the vertical CRS")
	}
	r.vertical = code
	return r, nil
}

// lookup finds a CRS by authority, in capitals, and code.
func lookup(authority, code string) (*CRS, error) {
	switch authority {
	case "EPSG":
		n, err := strconv.Atoi(code)
		if err != nil || len(code) > 9 {
			return nil, &UnknownError{Authority: authority, Code: shorten(code)}
		}
		return ByCode(n)
	case "OGC":
		c := geographic("WGS 84 longitude-latitude", datumWGS84, world)
		c.authority, c.axes, c.northing = authority, [2]string{"Lon", "Lat"}, false
		switch strings.ToLower(code) {
		case "crs84":
			c.code = "CRS84"
			return c, nil
		case "crs84h":
			c.code, c.name, c.vertical = "CRS84h", "WGS 84 longitude-latitude-height", Ellipsoidal
			return c, nil
		}
		return nil, &UnknownError{Authority: authority, Code: shorten(code), Hint: "of OGC's own there are CRS84 and CRS84h"}
	}
	return nil, &UnknownError{Authority: shorten(authority), Code: shorten(code), Hint: "authorities are EPSG and OGC"}
}

// combine adds the vertical CRS with this EPSG code to c.
func combine(c *CRS, code string) (*CRS, error) {
	v := VerticalDatum("EPSG:" + code)
	if !v.Known() {
		return nil, &UnknownError{Authority: "EPSG", Code: shorten(code), Hint: "it is none of the known vertical CRSs"}
	}
	if c.vertical != NoVertical {
		return nil, &VerticalError{From: c.vertical, To: v, Reason: c.String() + " has heights already"}
	}
	return c.WithVertical(v)
}

func cutAny(s string, prefixes ...string) (string, bool) {
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(s, p); ok {
			return rest, true
		}
	}
	return s, false
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// isWord reports whether s, in lower case, can be the name of an authority.
func isWord(s string) bool {
	for i := range len(s) {
		if (s[i] < 'a' || s[i] > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '_' {
			return false
		}
	}
	return s != ""
}

func syntaxError(input, expected string) error {
	return &SyntaxError{Input: shorten(input), Expected: expected}
}

// shorten cuts what a caller wrote to what an error message can carry.
func shorten(s string) string {
	const limit = 80
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

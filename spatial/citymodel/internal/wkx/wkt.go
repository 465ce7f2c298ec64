// Package wkx reads geometries as well-known text and well-known binary (OGC
// 06-103r4, ISO 13249-3) and their extended forms of PostGIS (EWKT, EWKB) into
// flat.Shapes. A third coordinate is a height; a fourth, or one called M, is
// passed over. Curves are refused.
//
// Depth is bounded; what is allocated is bounded by the length of the input
// and the limit of the Shapes. The functions hold no state.
package wkx

import (
	"strconv"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/flat"
)

// maxDepth is of collections inside each other.
const maxDepth = 16

// types are the codes of well-known binary (ISO 13249-3) by their words.
var types = map[string]uint32{
	"POINT": 1, "LINESTRING": 2, "POLYGON": 3, "MULTIPOINT": 4, "MULTILINESTRING": 5, "MULTIPOLYGON": 6,
	"GEOMETRYCOLLECTION": 7, "POLYHEDRALSURFACE": 15, "TIN": 16, "TRIANGLE": 17, "LINEARRING": 101,
}

// Text reads a geometry into s, and the SRID where it is EWKT, else 0.
func Text(s *flat.Shapes, text string) (srid int, err error) {
	p := &parser{s: s, text: text}
	p.space()
	if rest, ok := cutFold(p.text[p.at:], "SRID="); ok {
		number, _, ok := strings.Cut(rest, ";")
		if srid, err = strconv.Atoi(strings.TrimSpace(number)); !ok || err != nil || srid < 0 {
			return 0, p.fault("expected SRID=number; before the geometry")
		}
		p.at = len(text) - len(rest) + len(number) + 1
	}
	if err = p.geometry(0); err == nil {
		if p.space(); p.at < len(p.text) {
			err = p.fault("something follows the geometry")
		}
	}
	return srid, err
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

type parser struct {
	s    *flat.Shapes
	text string
	at   int
	dims dims
}

// dims is what the numbers of a point are.
type dims struct {
	z, m  bool
	given bool // in the text; otherwise the first point tells
}

func (p *parser) fault(format string, args ...any) error {
	found := p.text[min(p.at, len(p.text)):]
	if len(found) > 20 {
		found = found[:20] + "…"
	}
	args = append(args, p.at+1, found)
	return flat.Faultf(citymodel.Syntax, "well-known text: "+format+", at character %d: %q", args...)
}

func (p *parser) space() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t' || p.text[p.at] == '\n' || p.text[p.at] == '\r') {
		p.at++
	}
}

func (p *parser) word() string {
	p.space()
	from := p.at
	for p.at < len(p.text) && (p.text[p.at]|0x20 >= 'a' && p.text[p.at]|0x20 <= 'z') {
		p.at++
	}
	return strings.ToUpper(p.text[from:p.at])
}

func (p *parser) take(c byte) bool {
	if p.space(); p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) geometry(depth int) error {
	if depth > maxDepth {
		return flat.Faultf(citymodel.TooLarge, "more than %d collections inside each other", maxDepth)
	}
	before := p.at
	word := p.word()
	// Some programs write POINTZ.
	p.dims = dims{}
	typ, known := types[word]
	for _, suffix := range []string{"ZM", "Z", "M"} {
		if known {
			break
		}
		if short, ok := strings.CutSuffix(word, suffix); ok {
			if typ, known = types[short]; known {
				p.dims = dims{z: suffix != "M", m: suffix != "Z", given: true}
			}
		}
	}
	if !known {
		p.at = before
		if word == "" {
			return p.fault("expected the type of a geometry")
		}
		return flat.Faultf(citymodel.UnknownType, "%.40q is no type of geometry that can be read (points, lines, polygons, collections of them, POLYHEDRALSURFACE, TIN, TRIANGLE)", word)
	}
	for {
		mark := p.at
		switch p.word() {
		case "Z":
			p.dims = dims{z: true, given: true}
			continue
		case "M":
			p.dims = dims{m: true, given: true}
			continue
		case "ZM":
			p.dims = dims{z: true, m: true, given: true}
			continue
		case "EMPTY":
			return nil
		}
		p.at = mark
		break
	}
	return p.body(typ, depth)
}

// body reads what stands in the parentheses.
func (p *parser) body(typ uint32, depth int) error {
	switch typ {
	case 7:
		return p.list(func() error { return p.geometry(depth + 1) })
	case 1:
		return p.points(spatial.MultiPoint, nil)
	case 2, 101:
		return p.points(spatial.MultiLine, p.s.EndLine)
	case 3, 17:
		return p.polygon()
	case 4: // both (1 2, 3 4) and ((1 2), (3 4))
		p.space()
		if open := strings.TrimLeft(p.text[p.at:], "( \t\r\n"); strings.Count(p.text[p.at:len(p.text)-len(open)], "(") < 2 && !strings.HasPrefix(open, "EMPTY") {
			return p.points(spatial.MultiPoint, nil)
		}
		return p.list(func() error { return p.points(spatial.MultiPoint, nil) })
	case 5:
		return p.list(func() error { return p.points(spatial.MultiLine, p.s.EndLine) })
	default: // 6, 15, 16
		return p.list(p.polygon)
	}
}

// list reads members in parentheses, or EMPTY.
func (p *parser) list(member func() error) error {
	mark := p.at
	if p.word() == "EMPTY" {
		return nil
	}
	p.at = mark
	if !p.take('(') {
		return p.fault("expected ( or EMPTY")
	}
	for {
		if err := member(); err != nil {
			return err
		}
		if p.take(')') {
			return nil
		}
		if !p.take(',') {
			return p.fault("expected , or )")
		}
	}
}

func (p *parser) polygon() error {
	begun := false
	err := p.list(func() error {
		begun = true
		return p.points(spatial.MultiSurface, p.s.EndRing)
	})
	if begun && err == nil {
		p.s.EndSurface()
	}
	return err
}

func (p *parser) points(kind spatial.Kind, end func()) error {
	begun := false
	err := p.list(func() error {
		var c [4]float64
		n := 0
		for {
			p.space()
			from := p.at
			for p.at < len(p.text) && !strings.ContainsRune(" \t\r\n,()", rune(p.text[p.at])) {
				p.at++
			}
			if p.at == from {
				break
			}
			v, err := strconv.ParseFloat(p.text[from:p.at], 64)
			if err != nil {
				p.at = from
				return p.fault("expected a number")
			}
			if n == len(c) {
				return p.fault("more than 4 numbers in a point")
			}
			c[n] = v
			n++
		}
		if n < 2 {
			return p.fault("expected a point of 2 to 4 numbers, found %d", n)
		}
		z, hasZ := c[2], n > 2
		if p.dims.given && p.dims.m && !p.dims.z {
			hasZ = false
		}
		if p.dims.given && n != 2+btoi(p.dims.z)+btoi(p.dims.m) {
			return p.fault("a point of %d numbers where the type says %d", n, 2+btoi(p.dims.z)+btoi(p.dims.m))
		}
		if !begun {
			p.s.Begin(kind, hasZ)
			begun = true
			if !p.dims.given {
				p.dims = dims{z: n > 2, m: n > 3, given: true}
			}
		}
		return p.s.Point(c[0], c[1], z)
	})
	if begun && err == nil && end != nil {
		end()
	}
	return err
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

package kml

import (
	"math"
	"strconv"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/flat"
)

// maxDepth is of MultiGeometries inside each other.
const maxDepth = 16

// part is one geometry of a Placemark.
type part struct {
	mode    string
	extrude bool
	rings   [][]float64 // x, y, z; of a Polygon the exterior first
	gaps    bool        // some point has no altitude
}

// geometry reads an element that may be a geometry.
func (p *placemark) geometry(local string, depth int) error {
	var g part
	switch local {
	case "MultiGeometry", "MultiTrack":
		if depth >= maxDepth {
			return p.t.fault(citymodel.TooLarge, "more than %d MultiGeometries inside each other", maxDepth)
		}
		return p.t.children(func(local string, _ func(string) string) error { return p.geometry(local, depth+1) })
	case "Polygon":
		var inner [][]float64
		err := p.t.children(func(local string, _ func(string) string) error {
			switch local {
			case "outerBoundaryIs", "innerBoundaryIs":
				return p.t.children(func(ring string, _ func(string) string) error {
					if ring != "LinearRing" {
						return p.t.skip()
					}
					return p.t.children(func(field string, _ func(string) string) error {
						if field != "coordinates" {
							return p.t.skip()
						}
						points, err := p.coordinates(&g)
						if local == "outerBoundaryIs" {
							g.rings = append(g.rings, points)
						} else {
							inner = append(inner, points)
						}
						return err
					})
				})
			}
			return p.field(&g, local)
		})
		if err != nil {
			return err
		}
		if len(g.rings) != 1 && p.err == nil && len(g.rings)+len(inner) > 0 {
			p.err = flat.Faultf(citymodel.Syntax, "a Polygon with %d outer boundaries; expected 1", len(g.rings))
		}
		g.rings = append(g.rings, inner...)
		p.build(spatial.MultiSurface, &g)
	case "Point", "LineString", "LinearRing", "Track":
		var track []float64
		err := p.t.children(func(field string, _ func(string) string) error {
			switch field {
			case "coordinates":
				points, err := p.coordinates(&g)
				g.rings = append(g.rings, points)
				return err
			case "coord": // of a gx:Track
				text, err := p.t.text()
				if err == nil {
					track = p.coord(track, text)
				}
				return err
			}
			return p.field(&g, field)
		})
		if err != nil {
			return err
		}
		if track != nil {
			g.rings = append(g.rings, track)
		}
		kind := spatial.MultiLine
		if local == "Point" {
			kind = spatial.MultiPoint
		}
		p.build(kind, &g)
	case "Model":
		if p.m.Once("Model") {
			p.m.Warn(p.o, citymodel.UnknownType, "Model", "models are in another file and left out, here and in all objects")
		}
		return p.t.skip()
	default:
		return p.t.skip()
	}
	return nil
}

// field reads an element that says how altitudes are meant.
func (p *placemark) field(g *part, local string) error {
	switch local {
	case "altitudeMode", "extrude":
		text, err := p.t.text()
		if text = strings.TrimSpace(text); local == "altitudeMode" {
			g.mode = text
		} else {
			g.extrude = text == "1" || text == "true"
		}
		return err
	}
	return p.t.skip()
}

// build adds a part to the geometries of the object.
func (p *placemark) build(kind spatial.Kind, g *part) {
	if p.err != nil || len(g.rings) == 0 {
		return
	}
	hasZ := g.mode == "absolute" && !g.gaps
	p.absolute = p.absolute || hasZ
	if g.mode != "" {
		p.mode = g.mode
	}
	p.extrude = p.extrude || g.extrude
	p.s.Begin(kind, hasZ)
	for _, ring := range g.rings {
		for i := 0; i+2 < len(ring); i += 3 {
			if g.mode == "relativeToGround" && ring[i+2] != 0 {
				if g.extrude && !math.IsNaN(ring[i+2]) {
					p.top = max(p.top, ring[i+2])
				} else {
					p.elevated = true
				}
			}
			if p.err = p.s.Point(ring[i], ring[i+1], ring[i+2]); p.err != nil {
				return
			}
		}
		switch kind {
		case spatial.MultiSurface:
			p.s.EndRing()
		case spatial.MultiLine:
			p.s.EndLine()
		}
	}
	if kind == spatial.MultiSurface {
		p.s.EndSurface()
	}
}

// coordinates reads tuples lon,lat[,alt] that are separated by white space. What
// is wrong is kept in p.err, and the points are nil.
func (p *placemark) coordinates(g *part) (points []float64, err error) {
	line := p.t.line
	if p.buf, err = p.t.bytes(p.buf[:0]); err != nil || p.err != nil {
		return nil, err
	}
	b := p.buf
	at := 0
	space := func() {
		for at < len(b) && (b[at] == ' ' || b[at] == '\n' || b[at] == '\t' || b[at] == '\r') {
			if b[at] == '\n' {
				line++
			}
			at++
		}
	}
	for space(); at < len(b); space() {
		var c [3]float64
		n := 0
		for n < 3 {
			from := at
			for at < len(b) && b[at] != ',' && b[at] != ' ' && b[at] != '\n' && b[at] != '\t' && b[at] != '\r' {
				at++
			}
			v, err := strconv.ParseFloat(string(b[from:at]), 64)
			if err != nil {
				p.err = flat.Faultf(citymodel.Syntax, "line %d: coordinate %.40q is no number; expected lon,lat or lon,lat,alt", line, b[from:min(at+10, len(b))])
				return nil, nil
			}
			c[n] = v
			n++
			// Some programs put spaces around the commas.
			mark := at
			space()
			if at < len(b) && b[at] == ',' {
				at++
				space()
				continue
			}
			at = mark
			break
		}
		if n < 2 {
			p.err = flat.Faultf(citymodel.Syntax, "line %d: a position of %d number; expected lon,lat or lon,lat,alt", line, n)
			return nil, nil
		}
		g.gaps = g.gaps || n < 3
		if len(points)/3 >= p.m.Limits.ObjectPoints {
			p.err = flat.Faultf(citymodel.TooLarge, "more than %d points; raise Limits.ObjectPoints if the object is meant to be that large", p.m.Limits.ObjectPoints)
			return nil, nil
		}
		points = append(points, c[0], c[1], c[2])
	}
	return points, nil
}

// coord reads the position of a gx:Track, whose numbers are separated by white
// space.
func (p *placemark) coord(track []float64, text string) []float64 {
	fields := strings.Fields(text)
	if p.err != nil || len(fields) == 0 {
		return track
	}
	if len(fields) < 2 || len(fields) > 3 {
		p.err = flat.Faultf(citymodel.Syntax, "line %d: a coord of %d numbers; expected 3", p.t.line, len(fields))
		return track
	}
	if len(track)/3 >= p.m.Limits.ObjectPoints {
		p.err = flat.Faultf(citymodel.TooLarge, "more than %d points; raise Limits.ObjectPoints if the object is meant to be that large", p.m.Limits.ObjectPoints)
		return track
	}
	var c [3]float64
	for i, f := range fields {
		var err error
		if c[i], err = strconv.ParseFloat(f, 64); err != nil {
			p.err = flat.Faultf(citymodel.Syntax, "line %d: %.40q is no number", p.t.line, f)
			return track
		}
	}
	return append(track, c[:]...)
}

package features

import (
	"math"
	"strconv"
	"strings"

	"cityhub/spatial"
)

// chart is a map in SVG.
type chart struct {
	Width, Height int
	Label         string
	Shapes        []shape
}

type shape struct {
	Path        string
	Line        bool
	Points      []chartPoint
	Title, Href string
}

type chartPoint struct{ X, Y string }

// chartMaker collects what a map shows.
type chartMaker struct {
	box    spatial.Box
	parts  []chartPart
	points int
}

type chartPart struct {
	g           *spatial.Geometry
	title, href string
}

const chartPoints = 40_000 // in one map; further objects are left out of it

func (m *chartMaker) add(g *spatial.Geometry, title, href string) {
	if g == nil || m.points+g.NumPoints() > chartPoints {
		return
	}
	if len(m.parts) == 0 {
		m.box = spatial.EmptyBox()
	}
	m.points += g.NumPoints()
	m.box = m.box.Union(g.Bounds())
	m.parts = append(m.parts, chartPart{g, title, href})
}

// make draws what was added, north up, in the plane at the latitude of its
// middle; nil where there is nothing.
func (m *chartMaker) make(label string) *chart {
	if len(m.parts) == 0 || m.box.Empty() {
		return nil
	}
	const width, margin = 960.0, 16.0
	most := 480.0
	if len(m.parts) == 1 {
		most = 280
	}
	shrink := math.Cos((m.box.Min[1] + m.box.Max[1]) / 2 * math.Pi / 180)
	w, h := (m.box.Max[0]-m.box.Min[0])*shrink, m.box.Max[1]-m.box.Min[1]
	const least = 0.0004 // degrees, about 40 m: a single point has surroundings
	scale := min((width-2*margin)/max(w, least), (most-2*margin)/max(h, least))
	height := max(160, h*scale+2*margin)
	cx, cy := (m.box.Min[0]+m.box.Max[0])/2, (m.box.Min[1]+m.box.Max[1])/2
	place := func(lon, lat float64) (x, y string) {
		return strconv.FormatFloat(width/2+(lon-cx)*shrink*scale, 'f', 1, 64), strconv.FormatFloat(height/2-(lat-cy)*scale, 'f', 1, 64)
	}
	c := &chart{Width: int(width), Height: int(height), Label: label}
	for _, p := range m.parts {
		s := shape{Title: p.title, Href: p.href, Line: p.g.Kind == spatial.MultiLine}
		if p.g.Kind == spatial.MultiPoint {
			for i := 0; i < len(p.g.XYZ); i += 3 {
				x, y := place(p.g.XYZ[i], p.g.XYZ[i+1])
				s.Points = append(s.Points, chartPoint{x, y})
			}
		}
		var b strings.Builder
		for i := range p.g.Rings {
			ring := p.g.Ring(i)
			for j := 0; j < len(ring); j += 3 {
				x, y := place(ring[j], ring[j+1])
				b.WriteString([]string{"L", "M"}[b2i(j == 0)] + x + " " + y)
			}
			if !s.Line {
				b.WriteByte('Z')
			}
		}
		s.Path = b.String()
		c.Shapes = append(c.Shapes, s)
	}
	return c
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

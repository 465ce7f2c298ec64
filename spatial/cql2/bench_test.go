package cql2

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/paulmach/orb"
)

// circle is a ring of n vertices around the old town.
func circle(n int, radius float64) orb.Ring {
	r := make(orb.Ring, 0, n+1)
	for i := range n {
		a := 2 * math.Pi * float64(i) / float64(n)
		r = append(r, orb.Point{120.62 + radius*math.Cos(a), 31.31 + radius*math.Sin(a)})
	}
	return append(r, r[0])
}

func circleText(n int) string {
	return Text(&Geometry{Geom: orb.Polygon{circle(n, 0.02)}})
}

// benchFilters is what the evaluation is measured on.
func benchFilters() map[string]string {
	return map[string]string{
		"compare":       "pm25 > 75",
		"and3":          "pm25 > 7.5 AND class = 'building' AND height BETWEEN 3 AND 100",
		"in":            "class IN ('road','water','building')",
		"like":          "name LIKE '%Tow_r%'",
		"casei":         "CASEI(name) LIKE CASEI('%tower%')",
		"accenti":       "ACCENTI(name) = 'x'",
		"arithmetic":    "(height + 2) * 3 / pm25 > 1",
		"temporal":      "T_INTERSECTS(updated, INTERVAL('2026-11-01','..'))",
		"array":         "A_CONTAINS(tags, ('tower','heritage'))",
		"bbox/point":    "S_INTERSECTS(geometry, BBOX(120.598,31.285,120.641,31.332))",
		"bbox/area":     "S_INTERSECTS(footprint, BBOX(120.6155,31.285,120.641,31.332))",
		"circle/point":  "S_WITHIN(geometry, " + circleText(1000) + ")",
		"circle/area":   "S_INTERSECTS(footprint, " + circleText(1000) + ")",
		"circle/within": "S_WITHIN(footprint, " + circleText(1000) + ")",
		"outside":       "S_INTERSECTS(geometry, BBOX(0,0,1,1))",
		"live":          "pm25 > 7.5 AND class = 'building' AND S_INTERSECTS(geometry, " + circleText(64) + ")",
	}
}

// Matching allocates nothing.
func TestMatchAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop its buffers")
	}
	r := pagoda(t)
	for name, src := range benchFilters() {
		f := mustCompile(t, src)
		f.Match(r) // the buffers of CASEI and ACCENTI grow once
		if n := testing.AllocsPerRun(200, func() { f.Match(r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	r := pagoda(b)
	for name, src := range benchFilters() {
		f := mustCompile(b, src)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.Match(r)
			}
		})
	}
}

// BenchmarkMatrix is the slow path: two areas in contact.
func BenchmarkMatrix(b *testing.B) {
	f, r := mustCompile(b, "S_TOUCHES(footprint, BBOX(120.616,31.285,120.641,31.332))"), pagoda(b)
	if !f.Match(r) {
		b.Fatal("the footprint does not touch the box")
	}
	b.ReportAllocs()
	for b.Loop() {
		f.Match(r)
	}
}

func BenchmarkParse(b *testing.B) {
	for name, src := range map[string]string{
		"short":  "pm25 > 75 AND class = 'building' AND S_INTERSECTS(geometry, BBOX(120.6,31.2,120.7,31.4))",
		"circle": "S_WITHIN(geometry, " + circleText(1000) + ")",
		"in1000": "height IN (0" + strings.Repeat(", 123.5", 999) + ")",
	} {
		for _, enc := range []string{"text", "json"} {
			b.Run(fmt.Sprintf("%s/%s", enc, name), func(b *testing.B) {
				e := mustText(b, src)
				in := src
				if enc == "json" {
					in = string(JSON(e))
				}
				b.SetBytes(int64(len(in)))
				b.ReportAllocs()
				for b.Loop() {
					var err error
					if enc == "json" {
						_, err = ParseJSON([]byte(in), Limits{})
					} else {
						_, err = ParseText(in, Limits{})
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	q := queryables(b)
	for _, name := range []string{"and3", "circle/point"} {
		e := mustText(b, benchFilters()[name])
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Compile(e, q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package query

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/store"
)

// TestSuzhouOldTown: distances and counts against shapely 2 on azimuthal
// equidistant projections of PROJ, on the same file.
func TestSuzhouOldTown(t *testing.T) {
	s := suzhou(t)
	view := &city.View{Store: s, Index: scanOf(t, s)}
	rows := ask(t, view, time.Now(), `{"kind":"nearest","of":{"geometry":{"type":"Point","coordinates":[120.6154,31.32454]}},"k":8,"select":{"collection":"buildings"}}`)
	want := []float64{0, 45.19320290507044, 55.85761387693482, 59.78207473142062, 65.92325284893616, 70.23829781482976, 77.86729004380395, 81.26804850499293}
	if len(rows) != len(want) || rows[0]["name"] != "北寺塔" || rows[0]["collection"] != "buildings" {
		t.Fatalf("%d rows, %v", len(rows), rows)
	}
	for i, w := range want {
		if !near(rows[i]["metres"], w, 0.005) {
			t.Errorf("%d: %v m, want %v", i, rows[i]["metres"], w)
		}
	}
	for metres, n := range map[int]int{100: 9, 500: 203} {
		rows := ask(t, view, time.Now(), fmt.Sprintf(`{"kind":"within","of":{"geometry":{"type":"Point","coordinates":[120.6154,31.32454]}},"metres":%d,"select":{"collection":"buildings"}}`, metres))
		if len(rows) != n {
			t.Errorf("%d within %d m, want %d", len(rows), metres, n)
		}
	}
	// A corridor along 平江路.
	for metres, n := range map[int]int{10: 27, 50: 63, 200: 313} {
		rows := ask(t, view, time.Now(), fmt.Sprintf(`{"kind":"within","of":{"geometry":{"type":"LineString","coordinates":[[120.6299,31.3225],[120.6310,31.3170],[120.6320,31.3113]]}},"metres":%d,"select":{"collection":"buildings"}}`, metres))
		if len(rows) != n {
			t.Errorf("corridor of %d m: %d, want %d", metres, len(rows), n)
		}
	}
	// With a filter the nearest are looked for farther away; 8,242 buildings say how many there are.
	all := 0
	rows = ask(t, view, time.Now(), `{"kind":"nearest","of":{"geometry":{"type":"Point","coordinates":[120.6154,31.32454]}},"k":3,"maxMetres":3000,"select":{"collection":"buildings","filter":"height > 20 AND name IS NOT NULL"}}`)
	if _, err := s.Count(t.Context(), store.Query{Class: spatial.ClassBuilding, Keep: func(v *store.Version) (bool, error) {
		h, ok := v.Object.Attributes.Get("height")
		if f, isNumber := h.Number(); ok && isNumber && f > 20 && v.Object.Name != "" {
			all++
		}
		return true, nil
	}}); err != nil {
		t.Fatal(err)
	}
	if len(rows) != min(3, all) || all == 0 || rows[0]["name"] != "北寺塔" {
		t.Errorf("%d of %d: %v", len(rows), all, rows)
	}
	for i := 1; i < len(rows); i++ {
		if rows[i]["metres"].(float64) < rows[i-1]["metres"].(float64) {
			t.Error("not in order")
		}
	}
	// Areas of zones against GeographicLib (pyproj.Geod) for the first buildings of the file.
	zonal := ask(t, &city.View{Store: s, Index: view.Index, Observed: &hourly{streams: []*city.Datastream{{ID: 1, Property: "x", Lon: 1, Lat: 1}}}}, time.Now(),
		`{"kind":"zonal","zones":{"type":"features","of":{"collection":"buildings","bbox":[120.614,31.323,120.617,31.326]}},"observations":{"property":"x"},"time":{"last":"PT1H"}}`)
	found := 0
	for _, want := range []float64{943.6272137304768, 485.5632875543088} {
		for _, row := range zonal {
			if near(row["area_m2"], want, want*1e-6) {
				found++
			}
		}
	}
	if found != 2 {
		t.Errorf("%d of 2 areas among %d zones", found, len(zonal))
	}
}

// metresEast is a place some metres east and north of 120.6, 31.3.
func metresEast(x, y float64) orb.Point {
	return planeAt(orb.Point{120.6, 31.3}).degrees(orb.Point{x, y})
}

func line(points ...orb.Point) orb.LineString {
	out := orb.LineString{}
	for _, p := range points {
		out = append(out, metresEast(p[0], p[1]))
	}
	return out
}

func box(x, y, w, h float64) orb.Polygon {
	ring := orb.Ring{}
	for _, p := range []orb.Point{{x, y}, {x + w, y}, {x + w, y + h}, {x, y + h}, {x, y}} {
		ring = append(ring, metresEast(p[0], p[1]))
	}
	return orb.Polygon{ring}
}

// street is two roads, 100 m apart, pipes below the first at two depths and one
// beside it, a bridge over it, a building, and three noise meters: a loud one 30 m
// from the first road, a quiet one at the second, one that was loud an hour ago.
func street(t testing.TB, now time.Time) (*city.View, store.Store) {
	t.Helper()
	s := openStore(t, time.Now)
	level := spatial.Attribute{Name: "lanes", Value: spatial.TextValue("4")}
	put(t, s, "roads", false,
		object("r1", spatial.ClassRoad, box(0, 0, 1000, 10), 3, 4, level), object("r2", spatial.ClassRoad, line(orb.Point{0, 200}, orb.Point{1000, 200}), 0, 0),
		object("bridge", spatial.ClassRoad, box(500, -50, 20, 150), 9, 10))
	put(t, s, "pipes", false,
		object("p1", spatial.ClassUnderground, line(orb.Point{0, 5}, orb.Point{1000, 5}), -3, -2), object("p2", spatial.ClassUnderground, box(300, 2, 50, 5), 0, 0),
		object("p3", spatial.ClassUnderground, line(orb.Point{0, 50}, orb.Point{1000, 50}), -3, -2))
	put(t, s, "houses", false, object("h1", spatial.ClassBuilding, box(480, 120, 60, 30), 0, 0))
	meter := func(id int64, x, y float64) *city.Datastream {
		p := metresEast(x, y)
		return &city.Datastream{ID: id, Terminal: fmt.Sprintf("n%d", id), TerminalName: "噪声", Property: "noise", UnitSymbol: "dB", UnitCode: "dB[SPL]", Lon: p[0], Lat: p[1]}
	}
	h := &hourly{streams: []*city.Datastream{meter(1, 100, 40), meter(2, 100, 210), meter(3, 900, 240)}, readings: map[int64][]city.Reading{
		1: {{Time: now.Add(-50 * time.Minute), Value: 72, Quality: "good"}, {Time: now.Add(-10 * time.Minute), Value: 60, Quality: "good"}},
		2: {{Time: now.Add(-50 * time.Minute), Value: 65, Quality: "good"}, {Time: now.Add(-40 * time.Minute), Value: 99, Quality: "bad"}},
		3: {{Time: now.Add(-70 * time.Minute), Value: 90, Quality: "good"}},
	}}
	return &city.View{Store: s, Index: scanOf(t, s), Observed: h}, s
}

func keys(rows []map[string]any) string {
	out := ""
	for _, r := range rows {
		out += fmt.Sprint(r["key"], " ")
	}
	return out
}

// TestExceedance: "roads within 50 m of a noise reading over 70 dB in the last
// hour, and the pipes below them".
func TestExceedance(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	view, _ := street(t, now)
	const steps = `{"observed":{"property":"noise","op":">","value":70,"time":{"last":"PT1H"}}},{"within":{"metres":50,"select":{"collection":"roads"}}}`
	for doc, want := range map[string]string{
		`{"kind":"pipeline","steps":[` + steps + `]}`:                                                                  "roads/r1 ",
		`{"kind":"pipeline","steps":[` + steps + `,{"below":{"select":{"collection":"underground"}}}]}`:                "pipes/p1 pipes/p2 ",
		`{"kind":"pipeline","steps":[` + steps + `,{"below":{"metres":45,"select":{"collection":"underground"}}}]}`:    "pipes/p1 pipes/p2 pipes/p3 ",
		`{"kind":"pipeline","output":"all","steps":[` + steps + `,{"below":{"select":{"collection":"underground"}}}]}`: "n1 roads/r1 pipes/p1 pipes/p2 ",
		// heights: the bridge is above the road, whose heights have the same datum; the second road has none
		`{"kind":"pipeline","steps":[` + steps + `,{"above":{"select":{"collection":"roads"}}}]}`:                                                                            "roads/bridge ",
		`{"kind":"pipeline","steps":[{"select":{"collection":"roads","ids":["roads/bridge"]}},{"below":{"select":{"collection":"roads"}}}]}`:                                 "roads/r1 ",
		`{"kind":"pipeline","steps":[{"select":{"collection":"underground"}},{"above":{"select":{"collection":"roads","filter":"lanes >= 4"}}}]}`:                            "roads/r1 ",
		`{"kind":"pipeline","steps":[{"select":{"collection":"roads"}},{"intersecting":{"select":{"collection":"underground"}}}]}`:                                           "pipes/p1 pipes/p2 pipes/p3 ",
		`{"kind":"pipeline","steps":[{"select":{"collection":"buildings"}},{"within":{"metres":100,"select":{"collection":"terminals"}}}]}`:                                  "",
		`{"kind":"pipeline","steps":[{"select":{"collection":"roads","ids":["roads/r2"]}},{"within":{"metres":30,"select":{"collection":"terminals","property":"noise"}}}]}`: "n2 ",
		// all readings but one are below 70
		`{"kind":"pipeline","steps":[{"observed":{"property":"noise","op":"<","value":70,"time":{"last":"PT2H"}}}]}`:                     "n1 n2 ",
		`{"kind":"pipeline","steps":[{"observed":{"property":"noise","op":">=","value":66,"statistic":"mean","time":{"last":"PT2H"}}}]}`: "n1 n3 ",
		`{"kind":"pipeline","steps":[{"observed":{"property":"noise","op":">","value":70,"quality":["bad"],"time":{"last":"PT2H"}}}]}`:   "n2 ",
		`{"kind":"nearest","k":2,"of":{"collection":"buildings"},"select":{"collection":"roads"}}`:                                       "roads/bridge roads/r2 ",
		`{"kind":"nearest","k":1,"of":{"collection":"terminals","ids":["n1"]},"select":{"collection":"terminals"}}`:                      "n2 ",
		`{"kind":"nearest","k":1,"of":{"collection":"roads"},"select":{"collection":"roads"}}`:                                           "roads/bridge roads/bridge roads/r1 ",
	} {
		if got := keys(ask(t, view, now, doc)); got != want {
			t.Errorf("%s: %s, want %s", doc, got, want)
		}
	}
	rows := ask(t, view, now, `{"kind":"pipeline","output":"all","steps":[`+steps+`,{"below":{"metres":45,"select":{"collection":"underground"}}}]}`)
	if r := rows[0]; r["step"] != int64(1) || r["value"] != 72. || r["unit"] != "dB" || r["datastream"] != int64(1) {
		t.Errorf("%v", r)
	}
	if r := rows[1]; !near(r["metres"], 30, 0.01) || r["of"] != "n1" || !near(r["low_m"], 3, 0) {
		t.Errorf("%v", r)
	}
	if r := rows[4]; r["key"] != "pipes/p3" || !near(r["metres"], 40, 0.01) || r["of"] != "roads/r1" {
		t.Errorf("%v", r)
	}
}

// TestVertical: heights above different datums are not compared.
func TestVertical(t *testing.T) {
	of := func(class spatial.Class, low, high float64, datum string) *item {
		it := newItem()
		it.version = &store.Version{Object: spatial.CityObject{Class: class, CRS: spatial.CRS{VerticalDatum: datum}}}
		it.indexed.LowMetres, it.indexed.HighMetres = low, high
		return it
	}
	nan := math.NaN()
	for _, c := range []struct {
		a, b *item
		want order
	}{
		{of("underground", nan, nan, ""), of("road", 1, 2, "x"), lower}, {of("road", 1, 2, "x"), of("underground", nan, nan, ""), higher},
		{of("road", 0, 1, "x"), of("road", 1, 2, "x"), lower}, {of("road", 5, 6, "x"), of("building", 1, 2, "x"), higher}, {of("road", 0, 3, "x"), of("road", 1, 2, "x"), neither},
		{of("road", 0, 1, "x"), of("road", 1, 2, "y"), unknown}, {of("road", 0, 1, ""), of("road", 1, 2, ""), unknown}, {of("road", nan, nan, "x"), of("road", 1, 2, "x"), unknown},
		{of("underground", -5, -4, "x"), of("underground", -3, -2, "x"), lower},
	} {
		if got := vertical(c.a, c.b); got != c.want {
			t.Errorf("%v of %v: %d, want %d", c.a.indexed, c.b.indexed, got, c.want)
		}
	}
}

// TestModelChange: what three imports did.
func TestModelChange(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := openStore(t, func() time.Time { return at })
	text := func(v string) spatial.Attribute { return spatial.Attribute{Name: "use", Value: spatial.TextValue(v)} }
	a, b, c, d := box(0, 0, 10, 10), box(20, 0, 10, 10), box(40, 0, 10, 10), box(60, 0, 10, 10)
	house := func(id string, g orb.Geometry, use string) *spatial.CityObject {
		return object(id, spatial.ClassBuilding, g, 0, 0, text(use))
	}
	put(t, s, "d", true, house("same", a, "x"), house("gone", b, "x"), house("moved", c, "x"), house("used", d, "x"), house("back", a, "x"))
	at = at.AddDate(0, 0, 10)
	put(t, s, "d", true, house("same", a, "x"), house("moved", box(2000, 0, 10, 10), "x"), house("used", d, "y"), house("new", b, "x"), house("back", a, "z"))
	at = at.AddDate(0, 0, 10)
	put(t, s, "d", true, house("same", a, "x"), house("moved", box(2000, 0, 10, 10), "x"), house("used", d, "y"), house("new", b, "x"), house("back", a, "x"))
	now := at.AddDate(0, 0, 10)
	view := &city.View{Store: s}
	summary := func(more, from, to string) string {
		out := ""
		for _, r := range ask(t, view, now, `{"kind":"change","select":{"collection":"buildings"`+more+`},"from":"`+from+`","to":"`+to+`","zone":"UTC"}`) {
			out += fmt.Sprintf("%v:%v:%v ", r["change"], r["object"], r["changed"])
		}
		return out
	}
	p := metresEast(1000, -100)
	here := fmt.Sprintf(`,"bbox":[120.59,31.2,%v,31.4]`, p[0])
	for _, c := range []struct{ more, from, to, want string }{
		{"", "2026-01-05", "2026-01-25", "removed:gone:<nil> changed:moved:geometry changed:used:attributes added:new:<nil> "},
		{"", "2026-01-05", "2026-01-15", "removed:gone:<nil> changed:moved:geometry changed:used:attributes changed:back:attributes added:new:<nil> "},
		{"", "2026-01-12", "2026-01-15", ""},
		{here, "2026-01-05", "2026-01-25", "removed:gone:<nil> changed:moved:geometry changed:used:attributes added:new:<nil> "},
		{`,"filter":"use = 'x'"`, "2026-01-05", "2026-01-25", "removed:gone:<nil> changed:moved:geometry changed:used:attributes added:new:<nil> "},
		{`,"filter":"use = 'y'"`, "2026-01-05", "2026-01-25", "changed:used:attributes "},
		{`,"ids":["d/gone","d/new"]`, "2026-01-05", "2026-01-25", "removed:gone:<nil> added:new:<nil> "},
		{"", "2025-01-01", "2026-01-05", "added:same:<nil> added:gone:<nil> added:moved:<nil> added:used:<nil> added:back:<nil> "},
	} {
		if got := summary(c.more, c.from, c.to); got != c.want {
			t.Errorf("%s %s to %s:\n%s\n%s", c.more, c.from, c.to, got, c.want)
		}
	}
}

// TestUpstream asks the network through the function.
func TestUpstream(t *testing.T) {
	now := time.Now()
	view, _ := street(t, now)
	ref, _ := view.Index.Find(store.Key{Dataset: "pipes", ID: "p1"})
	other, _ := view.Index.Find(store.Key{Dataset: "pipes", ID: "p3"})
	p1, p3 := view.Index.Object(ref).Position, view.Index.Object(other).Position
	doc := []byte(`{"kind":"pipeline","steps":[{"select":{"collection":"underground","ids":["pipes/p1"]}},{"upstream":{"metres":500}}]}`)
	d, err := Parse(doc, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&Engine{}).Answer(t.Context(), view, d, nil); err == nil {
		t.Error("there is no network")
	}
	e := &Engine{Upstream: upstreamOf(t, p1, Reached{p3, p1, 120})}
	a, err := e.Answer(t.Context(), view, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := table(t, a)
	if len(rows) != 1 || rows[0]["key"] != "pipes/p3" || rows[0]["of"] != "pipes/p1" || rows[0]["metres"] != 120. {
		t.Errorf("%v", rows)
	}
}

package network

import (
	"math"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// Flow is the direction in which water or traffic goes through a line.
type Flow uint8

// The directions.
const (
	Along   Flow = iota + 1 // from the first point to the last
	Against                 // from the last point to the first
	Both
)

// fallMetres is the least difference of height between the ends of a sewer that
// says which way it falls; less is the error of the survey.
const fallMetres = 0.01

// flowOfClass is the direction where nothing says anything: waterways are drawn
// downstream (OpenStreetMap wiki, Waterways), pipes from their first manhole to
// the next, and roads lead both ways.
func flowOfClass(c spatial.Class) Flow {
	if c == spatial.ClassRoad {
		return Both
	}
	return Along
}

// FlowOf is which way the lines of an object run. What comes first counts:
//
//  1. the attribute flow, flow_direction or 流向: forward, backward or both
//     (流向 in the tables of pipeline surveys: 0 or +, 1 or -);
//  2. of roads the attribute oneway as OpenStreetMap has it, and
//     junction=roundabout;
//  3. tidal=yes: both ways;
//  4. of gravity sewers, heights of the line's ends that differ by 1 cm or more:
//     down. Objects of class underground are such where an attribute says so
//     (pressure=gravity; substance or usage sewage, wastewater, rainwater, drain;
//     管线类型 or 类别 with 雨水 or 污水; type sewer or drain);
//  5. roads: both ways; all others: as they are drawn.
func FlowOf(v *store.Version) Flow {
	o := &v.Object
	for _, name := range []string{"flow", "flow_direction", "流向"} {
		switch text(o, name) {
		case "forward", "along", "downstream", "0", "+":
			return Along
		case "backward", "reverse", "against", "1", "-", "-1":
			return Against
		case "both", "reversible", "bidirectional", "none", "双向":
			return Both
		}
	}
	if o.Class == spatial.ClassRoad {
		switch text(o, "oneway") {
		case "yes", "true", "1":
			return Along
		case "-1", "reverse":
			return Against
		case "no", "false", "0", "reversible", "alternating":
			return Both
		}
		if text(o, "junction") == "roundabout" {
			return Along
		}
	}
	if text(o, "tidal") == "yes" {
		return Both
	}
	if o.Class == spatial.ClassUnderground && gravity(o) {
		if down := fall(o.Geometries); down != 0 {
			return down
		}
	}
	return flowOfClass(o.Class)
}

// text is an attribute as lower-case text; empty where there is none.
func text(o *spatial.CityObject, name string) string {
	v, ok := o.Attributes.Get(name)
	if !ok || v.Kind() == spatial.Null {
		return ""
	}
	return strings.ToLower(strings.TrimSpace(v.String()))
}

func gravity(o *spatial.CityObject) bool {
	for _, name := range []string{"pressure", "substance", "usage", "type", "sewer", "管线类型", "类别"} {
		value := text(o, name)
		for _, word := range []string{"gravity", "sewage", "sewer", "wastewater", "rainwater", "stormwater", "drain", "雨水", "污水"} {
			if strings.Contains(value, word) {
				return true
			}
		}
	}
	return false
}

// fall is which way the first lines with heights fall; zero where they are level
// or there are none.
func fall(geometries []spatial.Geometry) Flow {
	for i := range geometries {
		g := &geometries[i]
		if g.Kind != spatial.MultiLine || !g.HasZ || g.NumPoints() < 2 {
			continue
		}
		drop := g.XYZ[2] - g.XYZ[len(g.XYZ)-1]
		switch {
		case math.Abs(drop) < fallMetres:
			return 0
		case drop > 0:
			return Along
		}
		return Against
	}
	return 0
}

// level names what separates lines that cross: equal levels meet.
func level(o *spatial.CityObject) string {
	s := text(o, "layer")
	if s == "0" {
		s = ""
	}
	for _, name := range []string{"bridge", "tunnel"} {
		if v := text(o, name); v != "" && v != "no" && v != "false" && v != "0" {
			s += " " + name
		}
	}
	return s
}

// nodeNames are the attributes that name the nodes at the first and the last
// point of a line, in the order in which they are looked for.
func nodeNames() [][2]string {
	return [][2]string{{"from_node", "to_node"}, {"fromnode", "tonode"}, {"start_node", "end_node"}, {"起点编号", "终点编号"}, {"起点点号", "终点点号"}}
}

// ends are the names of the nodes of an object's line.
func ends(o *spatial.CityObject) (from, to string) {
	for _, n := range nodeNames() {
		if from, to = text(o, n[0]), text(o, n[1]); from != "" || to != "" {
			return from, to
		}
	}
	return "", ""
}

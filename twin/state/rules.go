package state

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/index"
	"cityhub/twin"
)

// How says on what grounds a Datastream is bound to a CityObject.
type How uint8

// The grounds, the strongest first.
const (
	Unplaced How = iota // not bound
	Declared            // the terminal's manifest names the object
	Inside              // the terminal stands within the object's surface
	On                  // the terminal stands at most OnMetres from the object
	Nearest             // the object is the nearest within the rule's limit
)

// OnMetres is how far from a line, a point or an edge something stands on it:
// about what a hand-held receiver is off.
const OnMetres = 2

// String is the word for h in answers.
func (h How) String() string {
	switch h {
	case Declared:
		return "declared"
	case Inside:
		return "inside"
	case On:
		return "on"
	case Nearest:
		return "nearest"
	}
	return "unplaced"
}

// Rule says which objects the Datastreams of some properties may observe. All
// conditions hold together.
type Rule struct {
	// Properties are patterns of path.Match for the observed property's name in
	// lower case; nil: any.
	Properties []string
	Domains    []twin.Domain // nil: any
	Classes    []spatial.Class
	MaxMetres  float64 // from the terminal's place to the object
}

func (r *Rule) applies(domain twin.Domain, property string) bool {
	if r.Domains != nil && !slices.Contains(r.Domains, domain) {
		return false
	}
	if r.Properties == nil {
		return true
	}
	property = strings.ToLower(property)
	return slices.ContainsFunc(r.Properties, func(pattern string) bool {
		ok, err := path.Match(pattern, property)
		return ok && err == nil
	})
}

// DefaultRules bind what is measured in water to water, what is measured of
// traffic to roads, what is measured in pipes to what lies underground, and the
// rest to whatever it stands in or by. The first rule that finds an object wins.
func DefaultRules() []Rule {
	water := []string{"water*", "*level", "flow", "flow_rate", "flowrate", "discharge", "ph", "do", "dissolved*", "turbidity", "conductivity", "cod*", "nh3n", "nh3_n", "tn", "tp", "chlorophyll*"}
	traffic := []string{"vehicle*", "traffic*", "speed", "avg_speed", "avgspeed", "average_speed", "occupancy", "queue*", "congestion*", "travel_time"}
	pipes := append([]string{"pipe*", "sewer*", "manhole*", "gas*", "methane", "ch4", "h2s"}, water...)
	return []Rule{
		{Domains: []twin.Domain{twin.DomainTransport}, Classes: []spatial.Class{spatial.ClassRoad}, MaxMetres: 30},
		{Properties: traffic, Classes: []spatial.Class{spatial.ClassRoad}, MaxMetres: 30},
		{Properties: water, Domains: notTransport(), Classes: []spatial.Class{spatial.ClassWater}, MaxMetres: 30},
		{Properties: pipes, Domains: notTransport(), Classes: []spatial.Class{spatial.ClassUnderground}, MaxMetres: 10},
		{Classes: []spatial.Class{spatial.ClassBuilding, spatial.ClassComponent, spatial.ClassRoad, spatial.ClassWater}, MaxMetres: 20},
	}
}

func notTransport() []twin.Domain {
	return slices.DeleteFunc(twin.Domains(), func(d twin.Domain) bool { return d == twin.DomainTransport })
}

// find gives the object that a rule's classes have at a place.
func (r *Rule) find(v index.View, lon, lat float64) (position int64, how How, metres float64) {
	o := index.Options{Classes: r.Classes}
	if ref, ok := smallest(v, lon, lat, o); ok {
		return v.Object(ref).Position, Inside, 0
	}
	// Several can be equally near, for parts share walls: the oldest wins, so
	// that the answer does not depend on the index.
	near := v.Nearest(orb.Point{lon, lat}, r.MaxMetres, 4, o)
	if len(near) == 0 {
		return 0, Unplaced, 0
	}
	best, at := near[0].Metres, v.Object(near[0].Ref).Position
	for _, n := range near[1:] {
		if n.Metres > best {
			break
		}
		at = min(at, v.Object(n.Ref).Position)
	}
	if best <= OnMetres {
		return at, On, best
	}
	return at, Nearest, best
}

// smallest is the smallest object in which a place lies: the part rather than
// the whole, the courtyard's hall rather than the quarter.
func smallest(v index.View, lon, lat float64, o index.Options) (index.Ref, bool) {
	var found []index.Object
	var refs []index.Ref
	v.Containing(lon, lat, o, func(ref index.Ref) bool {
		found, refs = append(found, v.Object(ref)), append(refs, ref)
		return true
	})
	if len(found) == 0 {
		return 0, false
	}
	best := 0
	for i := 1; i < len(found); i++ {
		if c := cmp.Compare(size(found[i].Bound), size(found[best].Bound)); c < 0 || c == 0 && found[i].Position < found[best].Position {
			best = i
		}
	}
	return refs[best], true
}

func size(b orb.Bound) float64 { return (b.Max[0] - b.Min[0]) * (b.Max[1] - b.Min[1]) }

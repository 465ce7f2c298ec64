package sensorthings

import (
	"fmt"
	"strconv"
	"strings"

	"cityhub/internal/web"
	"cityhub/twin"
)

// set is one of the entity sets.
type set uint8

// The entity sets that are served.
const (
	things set = iota + 1
	locations
	sensors
	observedProperties
	datastreams
	observations
)

var setNames = [...]string{things: "Things", locations: "Locations", sensors: "Sensors",
	observedProperties: "ObservedProperties", datastreams: "Datastreams", observations: "Observations"}

func (s set) String() string { return setNames[s] }

func setByName(name string) (set, bool) {
	for i := things; i <= observations; i++ {
		if setNames[i] == name {
			return i, true
		}
	}
	return 0, false
}

// nav is a navigation property.
type nav struct {
	name   string
	target set
	many   bool
}

// navsOf are the navigation properties of an entity set.
func navsOf(s set) []nav {
	switch s {
	case things:
		return []nav{{"Locations", locations, true}, {"Datastreams", datastreams, true}}
	case locations:
		return []nav{{"Things", things, true}}
	case sensors, observedProperties:
		return []nav{{"Datastreams", datastreams, true}}
	case datastreams:
		return []nav{{"Thing", things, false}, {"Sensor", sensors, false}, {"ObservedProperty", observedProperties, false}, {"Observations", observations, true}}
	case observations:
		return []nav{{"Datastream", datastreams, false}}
	}
	return nil
}

// segment is one step of a resource path: a set or a navigation property,
// with the id of one entity where it has one.
type segment struct {
	set   set
	name  string // as written
	many  bool   // leads to a set and not to one entity; false once id is given
	hasID bool
	id    int64 // of every set but observations
	obsDS twin.DatastreamID
	obsNs int64
}

// maxSegments bounds the length of a resource path.
const maxSegments = 8

// parsePath reads the resource path behind the service root, without the
// slash that begins it. The empty path is the service root: no segment.
func parsePath(p string) ([]segment, error) {
	p = strings.TrimSuffix(p, "/")
	if p == "" {
		return nil, nil
	}
	parts := strings.Split(p, "/")
	if len(parts) > maxSegments {
		return nil, &twin.Error{Code: twin.CodeNotFound, Op: "read path", Message: fmt.Sprintf("the path has more than %d steps", maxSegments)}
	}
	segs := make([]segment, 0, len(parts))
	for i, part := range parts {
		name, key, hasKey, err := splitKey(part)
		if err != nil {
			return nil, err
		}
		var sg segment
		if i == 0 {
			sg, err = rootSegment(name)
		} else {
			sg, err = navSegment(segs[i-1], name)
		}
		if err != nil {
			return nil, err
		}
		if hasKey {
			if err := sg.setID(key); err != nil {
				return nil, err
			}
		}
		segs = append(segs, sg)
	}
	return segs, nil
}

func rootSegment(name string) (segment, error) {
	s, ok := setByName(name)
	if !ok {
		switch name {
		case "FeaturesOfInterest", "HistoricalLocations", "MultiDatastreams":
			return segment{}, noPath(name+" are not served yet", setList())
		}
		return segment{}, noPath("there is no entity set "+strconv.Quote(name), setList())
	}
	return segment{set: s, name: name, many: true}, nil
}

func setList() string { return "the entity sets are " + strings.Join(setNames[1:], ", ") }

func navSegment(prev segment, name string) (segment, error) {
	if prev.many {
		return segment{}, noPath("an id is missing after "+prev.name, "like "+prev.name+"("+exampleID(prev.set)+")")
	}
	names := make([]string, 0, 4)
	for _, n := range navsOf(prev.set) {
		if n.name == name {
			return segment{set: n.target, name: name, many: n.many}, nil
		}
		names = append(names, n.name)
	}
	switch name {
	case "FeatureOfInterest", "HistoricalLocations":
		return segment{}, noPath(name+" is not served yet", "")
	case "$ref", "$value":
		return segment{}, web.NotImplemented("path", name+" is not served", "read the entity itself")
	}
	for _, p := range propertyNames(prev.set) {
		if p == name {
			return segment{}, web.NotImplemented("path", "a property has no path of its own here", "use $select="+name)
		}
	}
	return segment{}, noPath(prev.set.String()+" have no "+strconv.Quote(name), "from here lead "+strings.Join(names, ", "))
}

func noPath(message, hint string) error {
	return &twin.Error{Code: twin.CodeNotFound, Op: "read path", Message: message, Hint: hint}
}

func exampleID(s set) string {
	if s == observations {
		return "'12_1790000000000000000'"
	}
	return "1"
}

// splitKey cuts "Things(1)" into its name and key.
func splitKey(part string) (name, key string, hasKey bool, err error) {
	i := strings.IndexByte(part, '(')
	if i < 0 {
		return part, "", false, nil
	}
	if !strings.HasSuffix(part, ")") {
		return "", "", false, &twin.Error{Code: twin.CodeInvalid, Op: "read path", Field: "path", Message: strconv.Quote(part) + " has no closing parenthesis"}
	}
	return part[:i], part[i+1 : len(part)-1], true, nil
}

func (sg *segment) setID(key string) error {
	if !sg.many {
		return noPath(sg.name+" leads to one entity and takes no id", "")
	}
	sg.many, sg.hasID = false, true
	if sg.set == observations {
		if len(key) < 2 || key[0] != '\'' || key[len(key)-1] != '\'' {
			return badID(sg.set, key)
		}
		ds, ns, err := twin.ParseObservationID(key[1 : len(key)-1])
		if err != nil {
			return badID(sg.set, key)
		}
		sg.obsDS, sg.obsNs = ds, ns
		return nil
	}
	id, err := strconv.ParseInt(key, 10, 64)
	if err != nil || id <= 0 {
		return badID(sg.set, key)
	}
	sg.id = id
	return nil
}

func badID(s set, key string) error {
	return &twin.Error{Code: twin.CodeInvalid, Op: "read path", Field: "id", Message: strconv.Quote(key) + " is not an id of " + s.String(),
		Hint: "an id looks like " + s.String() + "(" + exampleID(s) + ")"}
}

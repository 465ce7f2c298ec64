package manifest

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"cityhub/twin"
)

// The keys of each mapping.
var (
	topKeys        = []string{"datasets", "properties", "terminals"}
	datasetKeys    = []string{"code", "title", "titleEn", "owner", "open", "description", "simulated"}
	terminalKeys   = []string{"code", "name", "nameEn", "description", "domain", "district", "state", "location", "dataset", "sensor", "simulated", "legalBasis", "purpose", "credentials", "observes", "properties", "extra"}
	locationKeys   = []string{"lon", "lat", "height", "heightDatum"}
	sensorKeys     = []string{"name", "description", "encodingType", "metadata"}
	credentialKeys = []string{"username", "password"}
	propertyKeys   = []string{"name", "title", "titleEn", "definition", "description", "unit", "type"}
	unitKeys       = []string{"name", "symbol", "ucum"}
)

func (y *yamlReader) manifest(root *yaml.Node) *Manifest {
	m := &Manifest{}
	top := y.pairs(root, "", topKeys, "a mapping with datasets, properties and terminals")
	// Definitions first, wherever they stand: terminals refer to them.
	for _, p := range top {
		if p.key == "properties" && !isNull(p.value) {
			for i, n := range y.list(p.value, "properties", "a list of definitions: - {name: …, title: …, unit: …}") {
				y.definition(n, "properties["+strconv.Itoa(i)+"]")
			}
		}
	}
	for _, p := range top {
		if isNull(p.value) {
			continue
		}
		switch p.key {
		case "datasets":
			for i, n := range y.list(p.value, "datasets", "a list of datasets") {
				m.Datasets = append(m.Datasets, y.dataset(n, "datasets["+strconv.Itoa(i)+"]"))
			}
		case "terminals":
			nodes := y.list(p.value, "terminals", "a list of terminals")
			m.Terminals = make([]Terminal, 0, len(nodes))
			for i, n := range nodes {
				if y.c.Full() {
					break
				}
				m.Terminals = append(m.Terminals, y.terminal(n, "terminals["+strconv.Itoa(i)+"]"))
			}
		}
	}
	return m
}

func (y *yamlReader) definition(n *yaml.Node, path string) {
	p := y.property(n, path)
	if p == nil || p.Name == "" {
		if p != nil {
			y.add(n, path+".name", "", "the name that terminals refer to", "")
		}
		return
	}
	if _, dup := y.defs[p.Name]; dup {
		y.add(n, path+".name", quote(p.Name)+" a second time", "every definition once", "")
		return
	}
	y.defs[p.Name] = p
	// An unused definition is checked as well; a used one is reported here only.
	if q := *p; q.wrong() {
		sub := &Collector{}
		q.check(checker{c: sub, prefix: path})
		for _, pr := range sub.problems {
			pr.Line = n.Line
			if at := lookup(n, strings.Split(strings.TrimPrefix(pr.Field, path+"."), ".")); at != nil {
				pr.Line = at.Line
			}
			if !y.reported(pr) {
				y.c.Add(pr)
			}
		}
		y.defs[p.Name] = nil // known, but wrong
	}
}

func (y *yamlReader) dataset(n *yaml.Node, path string) Dataset {
	d := Dataset{Line: n.Line}
	for _, p := range y.pairs(n, path, datasetKeys, "a mapping that describes a dataset") {
		at := join(path, p.key)
		switch p.key {
		case "code":
			d.Code = y.str(p.value, at)
		case "title":
			d.Title = y.str(p.value, at)
		case "titleEn":
			d.TitleEn = y.str(p.value, at)
		case "owner":
			d.Owner = y.str(p.value, at)
		case "open":
			d.Open = twin.Openness(y.str(p.value, at))
		case "description":
			d.Description = y.str(p.value, at)
		case "simulated":
			d.Simulated = y.boolean(p.value, at)
		}
	}
	return d
}

func (y *yamlReader) terminal(n *yaml.Node, path string) Terminal {
	t := Terminal{Line: n.Line}
	for _, p := range y.pairs(n, path, terminalKeys, "a mapping that describes a terminal") {
		at := join(path, p.key)
		switch p.key {
		case "code":
			t.Code = y.str(p.value, at)
		case "name":
			t.Name = y.str(p.value, at)
		case "nameEn":
			t.NameEn = y.str(p.value, at)
		case "description":
			t.Description = y.str(p.value, at)
		case "domain":
			t.Domain = twin.Domain(y.str(p.value, at))
		case "district":
			t.District = y.str(p.value, at)
		case "state":
			t.State = twin.TerminalState(y.str(p.value, at))
		case "location":
			if !isNull(p.value) {
				t.Location = y.location(p.value, at)
			}
		case "dataset":
			t.Dataset = y.str(p.value, at)
		case "sensor":
			if !isNull(p.value) {
				t.Sensor = y.sensor(p.value, at)
			}
		case "simulated":
			t.Simulated = y.boolean(p.value, at)
		case "legalBasis":
			t.LegalBasis = y.str(p.value, at)
		case "purpose":
			t.Purpose = y.str(p.value, at)
		case "credentials":
			if !isNull(p.value) {
				t.Credentials = y.credentials(p.value, at)
			}
		case "observes":
			if !isNull(p.value) {
				t.Observes = y.observes(p.value, at)
			}
		case "properties":
			if !isNull(p.value) {
				t.Properties = y.properties(p.value, at)
			}
		case "extra":
			if !isNull(p.value) {
				left := maxExtraNodes
				if v, ok := y.value(p.value, at, &left, 0).(map[string]any); ok {
					t.Extra = v
				} else if _, bad := y.fields[at]; !bad {
					y.add(p.value, at, describe(deref(p.value)), "a mapping", "")
				}
			}
		}
	}
	return t
}

func (y *yamlReader) location(n *yaml.Node, path string) *Location {
	l := &Location{}
	var lon, lat, okLon, okLat bool
	ps := y.pairs(n, path, locationKeys, "{lon: …, lat: …} in WGS 84 degrees")
	if ps == nil && deref(n).Kind != yaml.MappingNode {
		return nil
	}
	for _, p := range ps {
		at := join(path, p.key)
		switch p.key {
		case "lon":
			l.Lon, okLon = y.number(p.value, at, "degrees as a number")
			lon = true
		case "lat":
			l.Lat, okLat = y.number(p.value, at, "degrees as a number")
			lat = true
		case "height":
			if !isNull(p.value) {
				if h, ok := y.number(p.value, at, "metres as a number"); ok {
					l.Height = &h
				}
			}
		case "heightDatum":
			l.HeightDatum = y.str(p.value, at)
		}
	}
	if !lon {
		y.add(n, join(path, "lon"), "", "degrees from -180 to 180", "")
	}
	if !lat {
		y.add(n, join(path, "lat"), "", "degrees from -90 to 90", "")
	}
	if !okLon || !okLat {
		return nil // reported: nothing to check
	}
	return l
}

func (y *yamlReader) sensor(n *yaml.Node, path string) Sensor {
	var s Sensor
	for _, p := range y.pairs(n, path, sensorKeys, "a mapping {name: …, metadata: …}") {
		v := y.str(p.value, join(path, p.key))
		switch p.key {
		case "name":
			s.Name = v
		case "description":
			s.Description = v
		case "encodingType":
			s.EncodingType = v
		case "metadata":
			s.Metadata = v
		}
	}
	return s
}

func (y *yamlReader) observes(n *yaml.Node, path string) Observes {
	n = deref(n)
	if n.Kind == yaml.ScalarNode {
		return Observes{otherProperties: y.str(n, path)}
	}
	o := Observes{}
	for _, p := range y.pairs(n, path, nil, "DATASET/ID of a city object, or a mapping from properties to such") {
		o[p.key] = y.str(p.value, join(path, p.key))
	}
	return o
}

func (y *yamlReader) credentials(n *yaml.Node, path string) *Credentials {
	n = deref(n)
	if n.Kind != yaml.MappingNode { // do not show what may be a password
		y.add(n, path, "something else", "a mapping {username: …, password: …}", "")
		return nil
	}
	c := &Credentials{}
	for _, p := range y.pairs(n, path, credentialKeys, "") {
		if v := deref(p.value); v.Kind != yaml.ScalarNode {
			y.add(v, join(path, p.key), "a list or mapping", "a text", "")
			continue
		}
		switch p.key {
		case "username":
			c.Username = y.str(p.value, join(path, p.key))
		case "password":
			c.Password = y.str(p.value, join(path, p.key))
		}
	}
	return c
}

func (y *yamlReader) properties(n *yaml.Node, path string) []*Property {
	nodes := y.list(n, path, "a list of property names or definitions")
	out := make([]*Property, 0, len(nodes))
	for i, n := range nodes {
		at := path + "[" + strconv.Itoa(i) + "]"
		if n := deref(n); n.Kind != yaml.ScalarNode {
			if p := y.property(n, at); p != nil {
				out = append(out, p)
			}
			continue
		}
		name := y.str(n, at)
		def, known := y.defs[name]
		if !known {
			names := make([]string, 0, len(y.defs))
			for k := range y.defs {
				names = append(names, k)
			}
			hint := did(name, names)
			if hint == "" {
				hint = fmt.Sprintf("add - {name: %s, title: …, unit: …} to the properties at the top of the file", name)
			}
			y.add(n, at, quote(name), "a property defined under the top-level key properties", hint)
			continue
		}
		if def != nil { // nil: its definition is wrong and reported there
			out = append(out, def)
		}
	}
	return out
}

func (y *yamlReader) property(n *yaml.Node, path string) *Property {
	n = deref(n)
	if n.Kind != yaml.MappingNode {
		y.add(n, path, describe(n), "a mapping {name: …, title: …, unit: …}", "")
		return nil
	}
	var q Property
	for _, p := range y.pairs(n, path, propertyKeys, "") {
		at := join(path, p.key)
		switch p.key {
		case "name":
			q.Name = y.str(p.value, at)
		case "title":
			q.Title = y.str(p.value, at)
		case "titleEn":
			q.TitleEn = y.str(p.value, at)
		case "definition":
			q.Definition = y.str(p.value, at)
		case "description":
			q.Description = y.str(p.value, at)
		case "type":
			q.Type = Type(y.str(p.value, at))
		case "unit":
			q.Unit = y.unit(p.value, at)
		}
	}
	if q.Type == "" {
		q.Type = TypeMeasurement
	}
	if same, ok := y.intern[q]; ok {
		return same
	}
	y.intern[q] = &q
	return &q
}

func (y *yamlReader) unit(n *yaml.Node, path string) Unit {
	n = deref(n)
	if n.Kind == yaml.ScalarNode {
		if n.Tag == "!!null" || n.Value == "" {
			return Unit{}
		}
		return UnitOf(n.Value)
	}
	var u Unit
	for _, p := range y.pairs(n, path, unitKeys, "a UCUM code or {name, symbol, ucum}") {
		v := y.str(p.value, join(path, p.key))
		switch p.key {
		case "name":
			u.Name = v
		case "symbol":
			u.Symbol = v
		case "ucum":
			u.UCUM = v
		}
	}
	return u
}

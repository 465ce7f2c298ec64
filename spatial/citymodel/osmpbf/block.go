package osmpbf

import (
	"math"

	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/flat"
)

// tag is a pair of indexes in the string table.
type tag struct{ key, value uint32 }

// block is an unpacked PrimitiveBlock.
type block struct {
	strings     [][]byte
	known       []bool // strings that are keys of tags that are wanted
	groups      [][]byte
	granularity int64
	lat, lon    int64
}

func (k *block) read(b []byte) error {
	k.strings, k.known, k.groups = k.strings[:0], k.known[:0], k.groups[:0]
	k.granularity, k.lat, k.lon = 100, 0, 0
	for m := (message{b: b}); ; {
		if !m.next() {
			return m.err
		}
		switch m.field {
		case 1:
			t := message{b: m.bytes}
			for t.next() {
				if t.field == 1 {
					k.strings = append(k.strings, t.bytes)
					k.known = append(k.known, mainKeys[string(t.bytes)])
				}
			}
			if t.err != nil {
				return t.err
			}
		case 2:
			k.groups = append(k.groups, m.bytes)
		case 17:
			k.granularity = int64(m.num)
		case 19:
			k.lat = int64(m.num)
		case 20:
			k.lon = int64(m.num)
		}
	}
}

// kinds is what the block has.
func (k *block) kinds() (kinds uint8) {
	for _, g := range k.groups {
		if m := (message{b: g}); m.next() {
			switch m.field {
			case 1, 2:
				kinds |= hasNodes
			case 3:
				kinds |= hasWays
			case 4:
				kinds |= hasRelations
			}
		}
	}
	return kinds
}

func (k *block) text(i uint32) string {
	if int(i) < len(k.strings) {
		return string(k.strings[i])
	}
	return ""
}

func (k *block) wanted(tags []tag) bool {
	for _, t := range tags {
		if int(t.key) < len(k.known) && k.known[t.key] {
			return true
		}
	}
	return false
}

// nowhere is the location of what has none.
const nowhere = math.MinInt32

// place is the location in 1e-7 degrees, the precision of OSM.
func (k *block) place(lat, lon int64) (location, bool) {
	convert := func(offset, v int64, limit int64) (int32, bool) {
		nano := offset + k.granularity*v
		if nano < -limit*1e9 || nano > limit*1e9 {
			return nowhere, false
		}
		if nano < 0 {
			return int32((nano - 50) / 100), true
		}
		return int32((nano + 50) / 100), true
	}
	y, ok := convert(k.lat, lat, 90)
	x, ok2 := convert(k.lon, lon, 180)
	return location{x, y}, ok && ok2
}

// location is longitude and latitude in 1e-7 degrees.
type location struct{ x, y int32 }

func (l location) degrees() (lon, lat float64) { return float64(l.x) / 1e7, float64(l.y) / 1e7 }

var errTags = flat.Faultf(citymodel.Syntax, "tags, coordinates or members whose numbers do not match")

// nodes calls each for the nodes of the block; tags are valid until it returns.
func (k *block) nodes(each func(id int64, at location, ok bool, tags []tag) error) error {
	var tags []tag
	for _, g := range k.groups {
		m := message{b: g}
		for m.next() {
			var err error
			switch m.field {
			case 1:
				tags, err = k.node(m.bytes, tags[:0], each)
			case 2:
				tags, err = k.dense(m.bytes, tags[:0], each)
			}
			if err != nil {
				return err
			}
		}
		if m.err != nil {
			return m.err
		}
	}
	return nil
}

func (k *block) node(b []byte, tags []tag, each func(int64, location, bool, []tag) error) ([]tag, error) {
	var id, lat, lon int64
	var keys, vals varints
	m := message{b: b}
	for m.next() {
		switch m.field {
		case 1:
			id = zigzag(m.num)
		case 2:
			keys.b = m.bytes
		case 3:
			vals.b = m.bytes
		case 8:
			lat = zigzag(m.num)
		case 9:
			lon = zigzag(m.num)
		}
	}
	if m.err != nil {
		return tags, m.err
	}
	tags, err := pairs(tags, keys, vals)
	if err != nil {
		return tags, err
	}
	at, ok := k.place(lat, lon)
	return tags, each(id, at, ok, tags)
}

func pairs(tags []tag, keys, vals varints) ([]tag, error) {
	for keys.more() && vals.more() {
		tags = append(tags, tag{uint32(keys.next()), uint32(vals.next())})
	}
	if keys.more() || vals.more() || keys.bad || vals.bad {
		return tags, errTags
	}
	return tags, nil
}

// dense reads DenseNodes: numbers as differences, the tags of all nodes in one
// list, with 0 behind those of each.
func (k *block) dense(b []byte, tags []tag, each func(int64, location, bool, []tag) error) ([]tag, error) {
	var ids, lats, lons, keysVals varints
	m := message{b: b}
	for m.next() {
		switch m.field {
		case 1:
			ids.b = m.bytes
		case 8:
			lats.b = m.bytes
		case 9:
			lons.b = m.bytes
		case 10:
			keysVals.b = m.bytes
		}
	}
	if m.err != nil {
		return tags, m.err
	}
	var id, lat, lon int64
	for ids.more() {
		id += ids.signed()
		lat += lats.signed()
		lon += lons.signed()
		tags = tags[:0]
		for keysVals.more() {
			key := uint32(keysVals.next())
			if key == 0 {
				break
			}
			tags = append(tags, tag{key, uint32(keysVals.next())})
		}
		if ids.bad || lats.bad || lons.bad || keysVals.bad {
			return tags, errTags
		}
		at, ok := k.place(lat, lon)
		if err := each(id, at, ok, tags); err != nil {
			return tags, err
		}
	}
	return tags, nil
}

// ways calls each for the ways of the block; refs are the differences of the
// node ids. tags are valid until it returns.
func (k *block) ways(each func(id int64, tags []tag, refs varints) error) error {
	var tags []tag
	return k.each(3, func(b []byte) (err error) {
		var id int64
		var keys, vals, refs varints
		m := message{b: b}
		for m.next() {
			switch m.field {
			case 1:
				id = int64(m.num)
			case 2:
				keys.b = m.bytes
			case 3:
				vals.b = m.bytes
			case 8:
				refs.b = m.bytes
			}
		}
		if m.err != nil {
			return m.err
		}
		if tags, err = pairs(tags[:0], keys, vals); err != nil {
			return err
		}
		return each(id, tags, refs)
	})
}

// member is one of a relation.
type member struct {
	id   int64
	kind uint8 // 0 node, 1 way, 2 relation
	role string
}

// relations calls each for the relations of the block.
func (k *block) relations(each func(id int64, tags []tag, members func() ([]member, error)) error) error {
	var tags []tag
	return k.each(4, func(b []byte) (err error) {
		var id int64
		var keys, vals, roles, ids, types varints
		m := message{b: b}
		for m.next() {
			switch m.field {
			case 1:
				id = int64(m.num)
			case 2:
				keys.b = m.bytes
			case 3:
				vals.b = m.bytes
			case 8:
				roles.b = m.bytes
			case 9:
				ids.b = m.bytes
			case 10:
				types.b = m.bytes
			}
		}
		if m.err != nil {
			return m.err
		}
		if tags, err = pairs(tags[:0], keys, vals); err != nil {
			return err
		}
		return each(id, tags, func() (list []member, err error) {
			var ref int64
			for ids.more() {
				ref += ids.signed()
				list = append(list, member{ref, uint8(types.next()), roleOf(k.text(uint32(roles.next())))})
			}
			if ids.bad || roles.bad || types.bad {
				return nil, errTags
			}
			return list, nil
		})
	})
}

// roleOf keeps the roles that are understood, so that the others take no memory.
func roleOf(s string) string {
	switch s {
	case "outer", "inner", "outline", "part":
		return s
	case "":
		return ""
	}
	return "other"
}

// each calls f for the members of all groups with that field.
func (k *block) each(field int, f func([]byte) error) error {
	for _, g := range k.groups {
		m := message{b: g}
		for m.next() {
			if m.field == field {
				if err := f(m.bytes); err != nil {
					return err
				}
			}
		}
		if m.err != nil {
			return m.err
		}
	}
	return nil
}

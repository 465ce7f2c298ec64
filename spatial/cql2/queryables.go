package cql2

import (
	"fmt"
	"sort"
	"strings"
)

// Type is a set of the types that a value may have; a Queryable has one.
type Type uint16

// The types of CQL2 (21-065r2, clauses 6.3, 7.5, 7.8 and 7.9).
const (
	TypeBool Type = 1 << iota
	TypeNumber
	TypeString
	TypeDate
	TypeTimestamp
	TypeInterval
	TypeGeometry
	TypeArray

	typeInstant  = TypeDate | TypeTimestamp
	typeTemporal = typeInstant | TypeInterval
	typeScalar   = TypeBool | TypeNumber | TypeString | typeInstant
	typeAny      = typeScalar | TypeInterval | TypeGeometry | TypeArray
)

var typeNames = []struct {
	t    Type
	name string
}{
	{TypeBool, "a condition"}, {TypeNumber, "a number"}, {TypeString, "text"}, {TypeDate, "a date"}, {TypeTimestamp, "a timestamp"},
	{TypeInterval, "an interval"}, {TypeGeometry, "a geometry"}, {TypeArray, "an array"},
}

// String names the types in t as an error message does: "a number or text".
func (t Type) String() string {
	var names []string
	for _, n := range typeNames {
		if t&n.t != 0 {
			names = append(names, n.name)
		}
	}
	switch len(names) {
	case 0:
		return "nothing"
	case 1:
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// Queryable is a property that filters may name.
type Queryable struct {
	Name string
	// Type is one of TypeBool, TypeNumber, TypeString, TypeDate,
	// TypeTimestamp, TypeGeometry and TypeArray.
	Type Type
	// Elem is the type of an array's elements: TypeBool, TypeNumber,
	// TypeString, TypeDate or TypeTimestamp; zero for other types.
	Elem Type
}

// Queryables is the set of properties of a collection. It is immutable.
type Queryables struct {
	list   []Queryable
	column map[string]int
	names  []string // sorted, so that suggestions do not vary
}

// NewQueryables makes a set. The position of a Queryable in list is the column
// by which a filter asks its Row.
func NewQueryables(list ...Queryable) (*Queryables, error) {
	q := &Queryables{list: append([]Queryable(nil), list...), column: make(map[string]int, len(list))}
	for i, p := range q.list {
		one := p.Type != 0 && p.Type&(p.Type-1) == 0
		switch _, twice := q.column[p.Name]; {
		case p.Name == "":
			return nil, fmt.Errorf("cql2: queryable %d has no name", i)
		case twice:
			return nil, fmt.Errorf("cql2: queryable %q is given twice", p.Name)
		case !one || p.Type&(typeScalar|TypeGeometry|TypeArray) == 0:
			return nil, fmt.Errorf("cql2: queryable %q has the type %s, expected a single one of bool, number, string, date, timestamp, geometry, array", p.Name, p.Type)
		case p.Type == TypeArray && (p.Elem&typeScalar == 0 || p.Elem&(p.Elem-1) != 0), p.Type != TypeArray && p.Elem != 0:
			return nil, fmt.Errorf("cql2: queryable %q: the element type is for arrays, which need exactly one scalar type", p.Name)
		}
		q.column[p.Name] = i
		q.names = append(q.names, p.Name)
	}
	sort.Strings(q.names)
	return q, nil
}

// Lookup finds the queryable called name and its column. Names are
// case-sensitive.
func (q *Queryables) Lookup(name string) (p Queryable, column int, ok bool) {
	column, ok = q.column[name]
	if ok {
		p = q.list[column]
	}
	return p, column, ok
}

// All lists the queryables in the order of their columns.
func (q *Queryables) All() []Queryable { return append([]Queryable(nil), q.list...) }

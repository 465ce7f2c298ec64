package cql2

import "github.com/paulmach/orb"

// Row gives a filter the values of one feature. A column is the position of a
// queryable in the list given to NewQueryables, and a filter asks only the
// method of that queryable's type. ok is false for NULL.
//
// What a Row returns is read during the call and not kept. For a Match without
// allocations the Row holds its geometries and arrays as they are returned.
type Row interface {
	Bool(column int) (v, ok bool)
	// Number: NaN counts as NULL.
	Number(column int) (v float64, ok bool)
	String(column int) (v string, ok bool)
	// Time is a date (at 00:00 UTC) or a timestamp, in nanoseconds since
	// 1970-01-01T00:00:00Z.
	Time(column int) (unixNs int64, ok bool)
	// Bound contains the geometry, in the axis order of the filter's
	// literals. It may be larger than the geometry, and its corners may be
	// farther out by rounding, but it must never be too small.
	Bound(column int) (b orb.Bound, ok bool)
	// Geometry is asked only where the bounds do not decide.
	Geometry(column int) (g orb.Geometry, ok bool)
	Array(column int) (v []Value, ok bool)
}

// Value is an element of an array.
type Value struct {
	Type   Type // TypeBool, TypeNumber, TypeString, TypeDate or TypeTimestamp; zero is NULL
	Bool   bool
	Number float64
	String string
	UnixNs int64 // of a date or a timestamp
}

// Truth is a value of three-valued logic.
type Truth uint8

// The truth values. Unknown is the NULL of the standard.
const (
	False Truth = iota
	True
	Unknown
)

// String is "FALSE", "TRUE" or "NULL".
func (t Truth) String() string {
	switch t {
	case False:
		return "FALSE"
	case True:
		return "TRUE"
	}
	return "NULL"
}

func truth(b bool) Truth {
	if b {
		return True
	}
	return False
}

// not is the table of NOT: NULL stays NULL.
func (t Truth) not() Truth {
	switch t {
	case False:
		return True
	case True:
		return False
	}
	return Unknown
}

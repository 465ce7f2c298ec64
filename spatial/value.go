package spatial

import (
	"math"
	"strconv"
)

// ValueKind is the type of a Value.
type ValueKind uint8

// The types of attribute values.
const (
	Null  ValueKind = iota
	Bool            // true or false
	Int             // a whole number of 64 bits
	Float           // any other number
	Text            // a string
	JSON            // an array or object, or a number that neither Int nor Float holds exactly, as JSON text
)

// Value is the value of an attribute, of the type in which it was given. The
// zero Value is null.
type Value struct {
	kind ValueKind
	bits uint64 // of a Bool, Int or Float
	text string // of a Text or JSON
}

// NullValue is null.
func NullValue() Value { return Value{} }

// BoolValue is a truth value.
func BoolValue(b bool) Value {
	v := Value{kind: Bool}
	if b {
		v.bits = 1
	}
	return v
}

// IntValue is a whole number.
func IntValue(n int64) Value { return Value{kind: Int, bits: uint64(n)} }

// FloatValue is a number.
func FloatValue(f float64) Value { return Value{kind: Float, bits: math.Float64bits(f)} }

// TextValue is a string.
func TextValue(s string) Value { return Value{kind: Text, text: s} }

// JSONValue is an array, an object or a long number; text must be well-formed JSON.
func JSONValue(text string) Value { return Value{kind: JSON, text: text} }

// Kind is the type of v.
func (v Value) Kind() ValueKind { return v.kind }

// Bool is the truth of a Bool value.
func (v Value) Bool() (b, ok bool) { return v.kind == Bool && v.bits != 0, v.kind == Bool }

// Int is the number of an Int value.
func (v Value) Int() (int64, bool) {
	if v.kind != Int {
		return 0, false
	}
	return int64(v.bits), true
}

// Number is the number of an Int or Float value; of an Int beyond 2^53 the
// nearest that float64 has.
func (v Value) Number() (float64, bool) {
	switch v.kind {
	case Int:
		return float64(int64(v.bits)), true
	case Float:
		return math.Float64frombits(v.bits), true
	}
	return 0, false
}

// Text is the string of a Text value.
func (v Value) Text() (string, bool) {
	if v.kind != Text {
		return "", false
	}
	return v.text, true
}

// String is v for people; JSON stays as it is.
func (v Value) String() string {
	switch v.kind {
	case Bool:
		return strconv.FormatBool(v.bits != 0)
	case Int:
		return strconv.FormatInt(int64(v.bits), 10)
	case Float:
		return strconv.FormatFloat(math.Float64frombits(v.bits), 'g', -1, 64)
	case Text, JSON:
		return v.text
	}
	return "null"
}

// Attribute is a named value.
type Attribute struct {
	Name  string
	Value Value
}

// Attributes are attributes in the order in which they were given.
type Attributes []Attribute

// Get is the value of the first attribute called name.
func (a Attributes) Get(name string) (Value, bool) {
	for i := range a {
		if a[i].Name == name {
			return a[i].Value, true
		}
	}
	return Value{}, false
}

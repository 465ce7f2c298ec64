package spatial

import "strconv"

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

// Value is the value of an attribute, of the type in which it was given.
type Value struct {
	kind ValueKind
	num  float64
	n    int64
	text string
}

// The makers of Values. JSONValue takes text that is well-formed JSON.
func NullValue() Value { return Value{} }
func BoolValue(b bool) Value {
	v := Value{kind: Bool}
	if b {
		v.n = 1
	}
	return v
}
func IntValue(n int64) Value      { return Value{kind: Int, n: n} }
func FloatValue(f float64) Value  { return Value{kind: Float, num: f} }
func TextValue(s string) Value    { return Value{kind: Text, text: s} }
func JSONValue(text string) Value { return Value{kind: JSON, text: text} }

// Kind is the type of v.
func (v Value) Kind() ValueKind { return v.kind }

// Bool is the truth of a Bool value.
func (v Value) Bool() (b, ok bool) { return v.n != 0, v.kind == Bool }

// Int is the number of an Int value.
func (v Value) Int() (int64, bool) { return v.n, v.kind == Int }

// Number is the number of an Int or Float value.
func (v Value) Number() (float64, bool) {
	if v.kind == Int {
		return float64(v.n), true
	}
	return v.num, v.kind == Float
}

// Text is the string of a Text value.
func (v Value) Text() (string, bool) { return v.text, v.kind == Text }

// String is v for people; JSON stays as it is.
func (v Value) String() string {
	switch v.kind {
	case Bool:
		return strconv.FormatBool(v.n != 0)
	case Int:
		return strconv.FormatInt(v.n, 10)
	case Float:
		return strconv.FormatFloat(v.num, 'g', -1, 64)
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

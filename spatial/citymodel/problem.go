package citymodel

import (
	"fmt"
	"strconv"
	"strings"
)

// Severity says whether something was lost.
type Severity uint8

// The severities.
const (
	// SeverityWarning: the object is as the source has it, and something about
	// it is not as it should be.
	SeverityWarning Severity = iota + 1
	// SeverityError: something could not be read and was left out, or the
	// geometry breaks ISO 19107.
	SeverityError
)

// String is "warning" or "error".
func (s Severity) String() string {
	if s == SeverityError {
		return "error"
	}
	return "warning"
}

// Code says what was wrong.
type Code string

// Faults of geometry, ISO 19107. The numbers are those of val3dity (H. Ledoux,
// "val3dity: validation of 3D GIS primitives according to the international
// standards", Open Geospatial Data, Software and Standards 3, 2018).
const (
	TooFewPoints       Code = "too-few-points"          // 101
	ConsecutivePoints  Code = "consecutive-points-same" // 102
	RingNotClosed      Code = "ring-not-closed"         // 103
	RingSelfIntersects Code = "ring-self-intersection"  // 104
	NonPlanar          Code = "non-planar"              // 203
	InnerRingOutside   Code = "inner-ring-outside"      // 206
	RingOrientation    Code = "ring-orientation-same"   // 208
	TooFewPolygons     Code = "too-few-polygons"        // 301
	ShellNotClosed     Code = "shell-not-closed"        // 302
	NonManifold        Code = "non-manifold"            // 303
	PolygonOrientation Code = "polygon-orientation"     // 307
	ShellOrientation   Code = "shell-orientation"       // 405
	EmptyGeometry      Code = "empty-geometry"          // 902
)

// Faults of the source.
const (
	Syntax       Code = "syntax"         // a record that is not well formed
	WrongType    Code = "wrong-type"     // well formed, but another type than the format says
	Missing      Code = "missing-member" // something that the format demands
	BadReference Code = "bad-reference"  // an index or id that leads nowhere
	OutOfRange   Code = "out-of-range"   // a number that cannot be
	TooLarge     Code = "too-large"      // beyond Limits
	UnknownType  Code = "unknown-type"
	UnknownCRS   Code = "unknown-crs"
	AxisOrder    Code = "axis-order"  // which coordinate comes first had to be assumed
	NoClass      Code = "no-class"    // none of the five element classes
	NoID         Code = "no-id"       // an identifier was made up
	Deprecated   Code = "deprecated"  // allowed once
	NotChecked   Code = "not-checked" // too large for a check
)

// Val3dity is the number that val3dity gives c, or zero.
func (c Code) Val3dity() int {
	switch c {
	case TooFewPoints:
		return 101
	case ConsecutivePoints:
		return 102
	case RingNotClosed:
		return 103
	case RingSelfIntersects:
		return 104
	case NonPlanar:
		return 203
	case InnerRingOutside:
		return 206
	case RingOrientation:
		return 208
	case TooFewPolygons:
		return 301
	case ShellNotClosed:
		return 302
	case NonManifold:
		return 303
	case PolygonOrientation:
		return 307
	case ShellOrientation:
		return 405
	case EmptyGeometry:
		return 902
	}
	return 0
}

// Problem is one thing that was wrong with a source.
type Problem struct {
	Severity Severity
	Code     Code
	File     string
	Line     int    // from 1; of the object where the fault has no line of its own
	Offset   int64  // bytes
	Object   string // ID of the object, if one is concerned
	Field    string // where in the object, e.g. "geometry[0].boundaries"
	Message  string // what was found and what was expected
}

// String is p in one line.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		b.WriteByte(':')
	}
	b.WriteString(strconv.Itoa(p.Line))
	b.WriteString(": ")
	b.WriteString(p.Severity.String())
	b.WriteString(" ")
	b.WriteString(string(p.Code))
	if n := p.Code.Val3dity(); n != 0 {
		b.WriteString(" (val3dity ")
		b.WriteString(strconv.Itoa(n))
		b.WriteString(")")
	}
	for _, s := range []string{p.Object, p.Field, p.Message} {
		if s != "" {
			b.WriteString(": ")
			b.WriteString(s)
		}
	}
	return b.String()
}

// Error is why a source cannot be read any further.
type Error struct {
	Code    Code
	File    string
	Line    int   // from 1
	Offset  int64 // bytes
	Message string
	Err     error // the source's error, if reading it failed
}

// Error gives place and message.
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d (byte %d): %s", e.File, e.Line, e.Offset, e.Message)
}

// Unwrap gives the source's error.
func (e *Error) Unwrap() error { return e.Err }

package crs

import (
	"fmt"
	"strconv"
)

// SyntaxError says that a text is no identifier of a CRS.
type SyntaxError struct {
	Input    string // what was given, cut to a readable length
	Expected string // what should have stood there
}

// Error quotes the input and says what was expected.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%q names no coordinate reference system: expected %s", e.Input, e.Expected)
}

// UnknownError says that an identifier is well formed, but the CRS behind it
// is not known here.
type UnknownError struct {
	Authority, Code string
	Hint            string // what to use instead; may be empty
}

// Error names the CRS and gives the hint.
func (e *UnknownError) Error() string {
	s := "coordinate reference system " + strconv.Quote(e.Authority+":"+e.Code) + " is not known"
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// VerticalError says that heights would have to be converted between vertical
// datums, which needs the caller's word (see HeightRule).
type VerticalError struct {
	From, To VerticalDatum
	Reason   string
}

// Error names both datums and the reason.
func (e *VerticalError) Error() string {
	return fmt.Sprintf("heights: %s to %s: %s", e.From.Name(), e.To.Name(), e.Reason)
}

// OptionError says that a Transform was asked for in a way that makes no
// sense.
type OptionError struct {
	Field    string // the field of the arguments or Options at fault
	Expected string
}

// Error names the field and what was expected.
func (e *OptionError) Error() string { return "transform: " + e.Field + ": expected " + e.Expected }

// Reason classifies a CoordinateError.
type Reason uint8

// The reasons for which a coordinate is refused.
const (
	NotFinite    Reason = iota + 1 // NaN or infinite
	BadLatitude                    // outside −90…90 degrees
	BadLongitude                   // outside −360…360 degrees
	OutOfDomain                    // too far away for the projection's formulas
	OutOfArea                      // outside the area of use (Options.InArea)
)

// String says the reason in words.
func (r Reason) String() string {
	switch r {
	case NotFinite:
		return "is not a finite number"
	case BadLatitude:
		return "latitude is not within -90 to 90 degrees"
	case BadLongitude:
		return "longitude is not within -360 to 360 degrees"
	case OutOfDomain:
		return "is too far from the projection's origin"
	case OutOfArea:
		return "is outside the area of use"
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// CoordinateError says which coordinate cannot be converted and why.
type CoordinateError struct {
	Index    int        // of the coordinate in the batch, from 0
	Values   [3]float64 // as given; the third is 0 where there was none
	Reason   Reason
	From, To string // the CRSs, each with the order that was assumed
}

// Error gives coordinate, reason and the order that was assumed, since a wrong
// order is the usual cause.
func (e *CoordinateError) Error() string {
	return fmt.Sprintf("coordinate %d (%v, %v, %v) %s; it was read as %s, to be converted to %s",
		e.Index, e.Values[0], e.Values[1], e.Values[2], e.Reason, e.From, e.To)
}

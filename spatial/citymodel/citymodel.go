// Package citymodel is the contract of the readers of city models: what they
// give, CityObjects one by one, and how they tell what was wrong. The readers
// are in the packages below, one for each format.
//
// A reader holds one object at a time and what its format forces it to keep,
// within Limits. It goes on after a fault that concerns one object, which it
// reports as a Problem, and ends with an error where the rest of the source
// cannot be trusted. It changes no coordinate and repairs nothing.
//
// A reader is for one goroutine.
package citymodel

import (
	"iter"

	"cityhub/spatial"
)

// Reader reads one source.
type Reader interface {
	// Info is what the source says of itself, known before the first object.
	Info() Info
	// Objects gives the objects in the order of the source, once. Each is new
	// and belongs to the caller. An error is the last thing it gives; the
	// object beside it is nil.
	Objects() iter.Seq2[*spatial.CityObject, error]
	// Tally counts what has been read until now.
	Tally() Tally
}

// Info is what a source says of itself.
type Info struct {
	Format     string // e.g. "CityJSON 2.0"
	CRS        spatial.CRS
	Title      string
	Extent     *spatial.Box // as declared, in CRS; nil: not declared. Readers do not rely on it
	Extensions []string     // names of the extensions that are declared
}

// Tally counts what a reader met.
type Tally struct {
	Objects    int
	Geometries int
	Points     int // in the geometries that were given
	Dropped    int // geometries that were left out because they could not be read
	Errors     int // Problems of severity Error
	Warnings   int // Problems of severity Warning
	// What the hub has no use for and leaves out:
	Textures, Materials, TextureVertices, Appearances int
}

// Options are common to all readers. The zero value is usable.
type Options struct {
	File  string        // name of the source, for the objects and the problems
	Class spatial.Class // class of the objects whose type has none; empty: they have none
	// ClassOf overrides the table of ClassOfType; nil: none. It answers false
	// for the types that it does not know.
	ClassOf func(typ string) (spatial.Class, bool)
	Level   spatial.CIMLevel // of all objects; zero: not stated
	CRS     spatial.CRS      // overrides what the source says; zero: what it says
	// Swapped says that the caller will exchange X and Y of every coordinate:
	// the source has them in another order than its format or CRS prescribes.
	// A reader gives them as always, and does not judge them as degrees.
	Swapped bool
	// Problem gets what was wrong, as soon as it is known: before the object
	// that it concerns is given. nil: the Tally counts it.
	Problem func(Problem)
	Limits  Limits
	Check   CheckOptions
}

// Limits bound what one source can take of memory. Zero means the default.
type Limits struct {
	Vertices     int // of a whole file that shares them; default 64 million, 12 or 24 bytes each
	ObjectPoints int // of one object's geometries; default 4 million, 24 bytes each
	RecordBytes  int // of one line of a sequence, or of one object in it; default 256 MiB
	ValueBytes   int // of one string or nested attribute; default 16 MiB
	Depth        int // of arrays and objects inside each other; default 128
	Attributes   int // of one object and its semantic surfaces; default 1 million
	Semantics    int // semantic surfaces of one object; default 1 million
}

// WithDefaults fills in the defaults.
func (l Limits) WithDefaults() Limits {
	for _, d := range []struct {
		p *int
		n int
	}{
		{&l.Vertices, 64_000_000}, {&l.ObjectPoints, 4_000_000}, {&l.RecordBytes, 256 << 20}, {&l.ValueBytes, 16 << 20},
		{&l.Depth, 128}, {&l.Attributes, 1_000_000}, {&l.Semantics, 1_000_000},
	} {
		if *d.p <= 0 {
			*d.p = d.n
		}
	}
	return l
}

// Reporter hands Problems on and counts them.
type Reporter struct {
	File  string
	Sink  func(Problem)
	Tally *Tally
}

// Report counts p and hands it to the sink.
func (r *Reporter) Report(p Problem) {
	if p.File == "" {
		p.File = r.File
	}
	if p.Severity == SeverityError {
		r.Tally.Errors++
	} else {
		r.Tally.Warnings++
	}
	if r.Sink != nil {
		r.Sink(p)
	}
}

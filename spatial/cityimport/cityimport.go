// Package cityimport brings a city model file into the store: it reads the
// file, finds out where on earth it lies, checks its geometry by ISO 19107 and
// mends what can be mended safely, gives each object its class and CIM level,
// and stores everything as one transaction.
//
// Guarantees:
//   - All of the sources are stored, or, after an error or when the context
//     ends, none of them.
//   - Nothing is lost or mended silently: every fault of the source is a
//     Finding, which says what was done about it. A source of which something
//     could not be read is refused, unless Options.SkipUnreadable.
//   - Coordinates are converted to WGS 84 by the store, from the CRS that the
//     object names; heights stay above the datum that it names. GCJ-02, which is
//     no CRS, is taken out here, where Options.GCJ02 declares it.
//   - Memory is that of the reader and of the store's import, and one object.
//
// Run is for one goroutine; several may run at the same time, the store lets
// one import after the other in.
package cityimport

import (
	"context"
	"fmt"
	"iter"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

// op is the Op of this package's errors.
const op = "import city model"

// Importer is the part of a store.Store that an import needs.
type Importer interface {
	Import(ctx context.Context, o store.ImportOptions, objects iter.Seq2[*spatial.CityObject, error]) (store.ImportResult, error)
}

// Source is a file to import.
type Source struct {
	Path string
	Name string // in messages; empty: Path
}

// RepairMode says what is mended.
type RepairMode string

// The repair modes.
const (
	RepairSafe RepairMode = "safe" // the default: what package repair mends
	RepairNone RepairMode = "none" // nothing: geometry is stored as it came
)

// Options of an import. Store, Sources and Dataset are required.
type Options struct {
	Store   Importer
	Sources []Source
	Reading Reading // of all sources
	Dataset string  // code of the data set, as in the catalogue

	Class    spatial.Class    // of the objects of which the source does not tell
	ID       string           // attribute that identifies the objects, where the source has no identifiers
	Type     string           // overrides the source's; city.TypeDistrict makes districts
	Level    spatial.CIMLevel // of all objects; zero: not stated
	CRS      spatial.CRS      // overrides the source's; zero: what it says
	GCJ02    bool             // the coordinates are GCJ-02 degrees
	SwapAxes bool             // X and Y are exchanged in the source
	Complete bool             // objects of the data set that do not come are no longer valid
	DryRun   bool             // check and count, store nothing

	Repair         RepairMode // empty: RepairSafe
	Strict         bool       // refuse the import where geometry stays that breaks ISO 19107
	SkipUnreadable bool       // import the rest where something cannot be read
	Limits         citymodel.Limits

	Progress func(Progress) // called now and then from Run's goroutine; nil: not
	Finding  func(Finding)  // gets every finding, from Run's goroutine; nil: they are counted
}

// Progress is how far an import is.
type Progress struct {
	Source  string  `json:"source"`
	Objects int     `json:"objects"`
	Bytes   int64   `json:"bytes"` // read of all sources
	Total   int64   `json:"total"` // bytes of all sources
	Seconds float64 `json:"seconds"`
}

// GeometryFaults is the attribute that lists the codes of what is wrong with an
// object's geometry and could not be mended, in order, separated by commas.
const GeometryFaults = "geometryFaults"

func (o *Options) check() error {
	fault := func(field, message, hint string) error {
		return &store.Error{Code: store.Invalid, Op: op, Field: field, Message: message, Hint: hint}
	}
	switch {
	case o.Store == nil:
		return fault("Store", "found none", "")
	case len(o.Sources) == 0:
		return fault("file", "found none, expected a city model", "")
	case o.Dataset == "":
		return fault("dataset", "found none, expected the code of the data set", "objects are known again by data set and identifier")
	case o.Class != "" && !o.Class.Valid():
		return fault("class", fmt.Sprintf("%q is no class; expected one of %v", o.Class, spatial.Classes()), "")
	case o.Type == city.TypeDistrict && o.Class != "":
		return fault("class", fmt.Sprintf("found %q, but districts are of no class", o.Class), "leave out the class")
	case !o.Level.Valid():
		return fault("level", fmt.Sprintf("found %d, expected CIM1 to CIM7", o.Level), "")
	case o.Repair != "" && o.Repair != RepairSafe && o.Repair != RepairNone:
		return fault("repair", fmt.Sprintf("found %q, expected safe or none", o.Repair), "")
	case o.Complete && o.SkipUnreadable:
		return fault("complete", "found with skipUnreadable: an object that cannot be read would count as gone", "leave out one of the two")
	case o.GCJ02 && o.CRS.Known() && !o.CRS.Degrees():
		return fault("gcj02", fmt.Sprintf("GCJ-02 coordinates are degrees, those of %v are metres", o.CRS), "leave out one of the two")
	}
	if o.CRS.Known() {
		return checkCRS(o.CRS, "crs")
	}
	return nil
}

// checkCRS says why the store could not convert from c.
func checkCRS(c spatial.CRS, field string) error {
	if _, err := crs.ByCode(c.Horizontal); err != nil {
		return &store.Error{
			Code: store.Invalid, Op: op, Field: field, Err: err,
			Hint: "convert the file to a CRS that is known, e.g. with ogr2ogr -t_srs EPSG:4326, or name the right one with --crs",
		}
	}
	return nil
}

// Run imports the sources. After an error the report tells what was found until
// then, and nothing is stored. The error is a *store.Error, or the context's.
func Run(ctx context.Context, o Options) (*Report, error) {
	if o.Repair == "" {
		o.Repair = RepairSafe
	}
	r := newRun(&o)
	if err := o.check(); err != nil {
		return r.report(store.ImportResult{}), err
	}
	if err := r.measure(); err != nil {
		return r.report(store.ImportResult{}), err
	}
	there, err := r.city(ctx)
	if err != nil {
		return r.report(store.ImportResult{}), err
	}
	res, err := o.Store.Import(ctx, store.ImportOptions{Dataset: o.Dataset, Complete: o.Complete, DryRun: o.DryRun}, r.objects(ctx))
	switch {
	case ctx.Err() != nil && err != nil:
		err = fmt.Errorf("%s: stopped, nothing was stored: %w", op, ctx.Err())
	case r.failed != nil:
		err = r.failed
	}
	if err != nil {
		res = store.ImportResult{}
	}
	r.far(there)
	report := r.report(res)
	report.Stored = err == nil && !o.DryRun
	return report, err
}

// progressEvery is the time between two calls of Options.Progress.
const progressEvery = 200 * time.Millisecond

package cityimport

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/repair"
	"cityhub/spatial/store"
)

// run is one import under way.
type run struct {
	*tally
	o       *Options
	sizes   []int64
	total   int64
	before  int64 // bytes of the sources that have been read
	source  string
	shown   time.Time
	failed  error
	lost    *Finding // the first with which something was lost
	broken  *Finding // the first error of geometry that stays
	placer  placer
	plane   plane
	kept    []string // codes of the faults of the current object that stay
	classed bool     // an object had a class or a type
}

func newRun(o *Options) *run {
	return &run{tally: newTally(o), o: o, placer: newPlacer()}
}

func fault(o *spatial.CityObject, field, message, hint string, err error) error {
	return &store.Error{
		Code: store.Invalid, Op: op, Object: o.ID, File: o.Source.File, Line: o.Source.Line,
		Field: field, Message: message, Hint: hint, Err: err,
	}
}

// measure looks up the sizes of the sources.
func (r *run) measure() error {
	for i := range r.o.Sources {
		s := &r.o.Sources[i]
		if s.Name == "" {
			s.Name = s.Path
		}
		info, err := os.Stat(s.Path)
		if err == nil && info.IsDir() {
			err = errors.New("it is a folder")
		}
		if err != nil {
			var pathErr *os.PathError
			if errors.As(err, &pathErr) {
				err = pathErr.Err // the name is given already
			}
			return &store.Error{Code: store.Invalid, Op: op, Field: "file", Message: s.Name, Hint: "give the path of a city model", Err: err}
		}
		if info.Size() == 0 {
			return &store.Error{Code: store.Invalid, Op: op, File: s.Name, Line: 1, Message: "the file is empty", Hint: "nothing was stored"}
		}
		r.sizes = append(r.sizes, info.Size())
		r.total += info.Size()
	}
	return nil
}

// objects gives the objects of all sources as they are to be stored.
func (r *run) objects(ctx context.Context) iter.Seq2[*spatial.CityObject, error] {
	return func(yield func(*spatial.CityObject, error) bool) {
		for i, s := range r.o.Sources {
			ok, err := r.read(ctx, s, r.sizes[i], func(o *spatial.CityObject) bool { return yield(o, nil) })
			if err != nil {
				r.failed = err
				yield(nil, err)
				return
			}
			if !ok {
				return
			}
			r.before += r.sizes[i]
		}
		r.progress(0, true)
		if err := r.verdict(); err != nil {
			r.failed = err
			yield(nil, err)
		}
	}
}

// verdict is why the import is refused after everything has been read.
func (r *run) verdict() error {
	refuse := func(f *Finding, message, hint string) error {
		return &store.Error{
			Code: store.Invalid, Op: op, File: f.File, Line: f.Line, Object: f.Object, Field: f.Field,
			Message: f.Code + ": " + f.Message + message, Hint: hint,
		}
	}
	more := func(n int) string {
		if n > 1 {
			return fmt.Sprintf("; %d more of this kind", n-1)
		}
		return ""
	}
	switch {
	case r.lost != nil && !r.o.SkipUnreadable:
		return refuse(r.lost, more(r.rep.Unreadable), "nothing was stored; correct the file, or import the rest of it with --skip-unreadable")
	case r.broken != nil && r.o.Strict:
		n := 0
		for k, c := range r.counts {
			if k.action == Kept && k.severity == citymodel.SeverityError.String() {
				n += c.Count
			}
		}
		return refuse(r.broken, more(n), "nothing was stored; correct the geometry, or import it without --strict, then such objects are flagged in their attribute "+GeometryFaults)
	case r.rep.Objects == 0:
		return &store.Error{Code: store.Invalid, Op: op, File: r.o.Sources[0].Name, Line: 1, Message: "no object was found", Hint: "nothing was stored; is it the right file?"}
	}
	return nil
}

// read gives the objects of one source until yield returns false.
func (r *run) read(ctx context.Context, s Source, size int64, yield func(*spatial.CityObject) bool) (more bool, err error) {
	r.source = s.Name
	reader, closeFile, err := openSource(ctx, s.Path, r.o.Reading, citymodel.Options{
		File: s.Name, Class: r.o.Class, Level: r.o.Level, CRS: r.o.CRS, Swapped: r.o.SwapAxes,
		Problem: r.problem, Limits: r.o.Limits, Check: citymodel.CheckOptions{Skip: true},
	})
	if err != nil {
		return false, unreadable(s, err)
	}
	defer func() {
		if cerr := closeFile(); cerr != nil && err == nil {
			err = unreadable(s, cerr)
		}
	}()
	info := reader.Info()
	rep := SourceReport{Name: s.Name, Format: info.Format, Title: info.Title, CRS: info.CRS.String(), Bytes: size}
	r.rep.Sources = append(r.rep.Sources, rep)
	last := &r.rep.Sources[len(r.rep.Sources)-1]
	for o, err := range reader.Objects() {
		if err != nil {
			return false, unreadable(s, err)
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		last.Objects++
		if err := r.object(o); err != nil {
			return false, err
		}
		r.progress(min(o.Source.Offset, size), false)
		if !yield(o) {
			return false, nil
		}
	}
	return true, nil
}

// unreadable is why a source cannot be read any further.
func unreadable(s Source, err error) error {
	e := &store.Error{Code: store.Invalid, Op: op, File: s.Name, Line: 1, Message: "the file cannot be read", Hint: "nothing was stored", Err: err}
	var read *citymodel.Error
	var own *store.Error
	switch {
	case errors.As(err, &own):
		return err
	case errors.As(err, &read):
		e.Line, e.Message, e.Err = max(read.Line, 1), read.Message, read.Err
		if e.Err != nil && strings.Contains(e.Message, e.Err.Error()) {
			e.Err = nil // it would be said twice
		}
	}
	return e
}

// progress tells how far the run is, at most a few times a second.
func (r *run) progress(bytes int64, done bool) {
	if r.o.Progress == nil || !done && r.rep.Objects%64 != 0 {
		return
	}
	now := time.Now()
	if !done && now.Sub(r.shown) < progressEvery {
		return
	}
	r.shown = now
	r.o.Progress(Progress{Source: r.source, Objects: r.rep.Objects, Bytes: r.before + bytes, Total: r.total, Seconds: now.Sub(r.started).Seconds()})
}

// add counts a finding and hands it on.
func (r *run) add(f Finding) {
	r.finding(f)
	switch {
	case f.Action == Dropped && f.ISO19107 == 0:
		r.rep.Unreadable++
		if r.lost == nil {
			r.lost = &f
		}
	case f.Action == Kept && f.Severity == citymodel.SeverityError.String() && r.broken == nil:
		r.broken = &f
	}
	if r.o.Finding != nil {
		r.o.Finding(f)
	}
}

// problem takes what a reader found.
func (r *run) problem(p citymodel.Problem) {
	if p.Code == citymodel.NoClass && r.o.Type != "" {
		return // the type says what the objects are; a class is not missed
	}
	action := Noted
	switch {
	case p.Code == citymodel.UnknownCRS && p.Severity == citymodel.SeverityError:
		// Without a CRS the first object with a geometry ends the import.
	case p.Code == citymodel.RingNotClosed && r.o.Repair == RepairSafe:
		action = Repaired // the ring is closed, as all are
	case p.Code == citymodel.RingNotClosed:
		action = Kept
	case p.Severity == citymodel.SeverityError:
		action = Dropped
	}
	r.add(findingOf(p, action))
}

// object makes o what is to be stored.
func (r *run) object(o *spatial.CityObject) error {
	if r.o.SwapAxes {
		swapAxes(o)
	}
	if r.o.GCJ02 {
		if err := undistort(o); err != nil {
			return err
		}
	}
	if err := r.identify(o); err != nil {
		return err
	}
	if err := r.classify(o); err != nil {
		return err
	}
	r.sound(o)
	if len(o.Geometries) > 0 {
		if err := r.placer.place(o, r.tally); err != nil {
			return err
		}
		r.mend(o)
	}
	r.tally.object(o)
	return nil
}

// sound drops the geometries whose arrays do not fit together or hold what is
// no number: a reader lets none through, but the store must not meet one.
func (r *run) sound(o *spatial.CityObject) {
	o.Geometries = slices.DeleteFunc(o.Geometries, func(g spatial.Geometry) bool {
		err := g.Valid()
		if err != nil {
			r.add(findingOf(citymodel.Problem{
				Severity: citymodel.SeverityError, Code: citymodel.OutOfRange, File: o.Source.File, Line: o.Source.Line, Object: o.ID, Field: "geometry", Message: err.Error(),
			}, Dropped))
		}
		return err != nil
	})
}

// mend checks the geometry of o and mends it, or flags o.
func (r *run) mend(o *spatial.CityObject) {
	r.kept = r.kept[:0]
	metric := r.plane.of(o)
	faults := 0
	citymodel.Check(metric, citymodel.CheckOptions{}, func(p citymodel.Problem) {
		faults++
		if r.o.Repair == RepairNone {
			r.stays(o, p)
		}
	})
	if r.o.Repair == RepairSafe && (faults > 0 || holes(metric)) {
		fixes := repair.Object(metric, repair.Options{})
		for _, f := range fixes {
			p := citymodel.Problem{
				Severity: severityOf(f), Code: f.Code, File: o.Source.File, Line: o.Source.Line, Object: o.ID, Field: f.Field, Message: f.Message,
			}
			action := Repaired
			if f.Dropped {
				action = Dropped
			}
			r.add(findingOf(p, action))
		}
		if len(fixes) > 0 {
			r.rep.Mended++
			r.plane.back(o, metric)
		}
		if faults > 0 {
			citymodel.Check(metric, citymodel.CheckOptions{}, func(p citymodel.Problem) { r.stays(o, p) })
		}
	}
	r.flag(o)
}

func severityOf(f repair.Fix) citymodel.Severity {
	if f.Code == citymodel.ConsecutivePoints || f.Code == citymodel.EmptyGeometry {
		return citymodel.SeverityWarning
	}
	return citymodel.SeverityError
}

// stays reports a fault of geometry that is stored as it is.
func (r *run) stays(o *spatial.CityObject, p citymodel.Problem) {
	p.File = o.Source.File
	action := Kept
	if p.Code.Val3dity() == 0 { // too large for a check
		action = Noted
	} else if p.Severity == citymodel.SeverityError && !slices.Contains(r.kept, string(p.Code)) {
		r.kept = append(r.kept, string(p.Code))
	}
	r.add(findingOf(p, action))
}

// flag names in the attributes of o what is wrong with its geometry. What an
// earlier export of a hub says of it is replaced.
func (r *run) flag(o *spatial.CityObject) {
	o.Attributes = slices.DeleteFunc(o.Attributes, func(a spatial.Attribute) bool { return a.Name == GeometryFaults })
	if len(r.kept) == 0 {
		return
	}
	slices.Sort(r.kept)
	r.rep.Flagged++
	o.Attributes = append(o.Attributes, spatial.Attribute{Name: GeometryFaults, Value: spatial.TextValue(strings.Join(r.kept, ","))})
}

func holes(o *spatial.CityObject) bool {
	for i := range o.Geometries {
		if len(o.Geometries[i].Rings) > len(o.Geometries[i].Surfaces) && len(o.Geometries[i].Surfaces) > 0 {
			return true
		}
	}
	return false
}

// classify gives o its type and class where the source does not.
func (r *run) classify(o *spatial.CityObject) error {
	if r.o.Type != "" {
		o.Type = r.o.Type
		if o.Type == city.TypeDistrict {
			o.Class = ""
			return r.district(o)
		}
		if r.o.Class == "" {
			if class, known := citymodel.ClassOfType(o.Type); known {
				o.Class = class
			}
		}
	}
	if o.Class != "" || o.Type != "" {
		r.classed = true
		return nil
	}
	if !r.classed {
		return fault(o, "class", "the file does not say what its objects are", "name their class with --class building, road, water, underground or component, or their type, e.g. --type "+city.TypeDistrict, nil)
	}
	r.add(findingOf(citymodel.Problem{
		Severity: citymodel.SeverityWarning, Code: citymodel.NoClass, File: o.Source.File, Line: o.Source.Line, Object: o.ID, Message: "it is of none of the five classes; stored with the other objects",
	}, Noted))
	return nil
}

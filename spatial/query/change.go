package query

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/export"
	"cityhub/spatial/store"
)

// stopped ends an iteration that its consumer left.
var errStopped = errors.New("stopped")

// versions iterates over the objects of a selection at a time.
func (r *run) versions(ctx context.Context, s *Selection, at time.Time) iter.Seq2[*store.Version, error] {
	return func(yield func(*store.Version, error) bool) {
		err := r.objects(ctx, s, at, nil, func(v *store.Version) error {
			if !yield(v, nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

// modelChange lists what was added, removed and changed between two times. An
// object counts where it is selected at either time: one that moved out of the
// bbox, or that the filter no longer selects, has changed and is not removed.
func (r *run) modelChange(ctx context.Context) (*Answer, error) {
	windows, err := r.doc.Times.windows(r.now, 1, false)
	if err != nil {
		return nil, err
	}
	from, to := windows[0].From, windows[0].To
	r.meta["timeZone"] = r.doc.Times.Zone.String()
	r.meta["from"], r.meta["to"] = clock(from), clock(to)
	a := &Answer{Columns: []export.Column{
		{Name: "change", Type: export.Text}, {Name: "key", Type: export.Text}, {Name: "dataset", Type: export.Text}, {Name: "object", Type: export.Text},
		{Name: "class", Type: export.Text}, {Name: "type", Type: export.Text}, {Name: "name", Type: export.Text}, {Name: "changed", Type: export.Text},
		{Name: "before_valid_from", Type: export.Time}, {Name: "after_valid_from", Type: export.Time},
		{Name: "before_attributes", Type: export.JSON}, {Name: "after_attributes", Type: export.JSON},
	}}
	counts := map[string]int{"added": 0, "removed": 0, "changed": 0}
	add := func(before, after *store.Version) error {
		if before != nil && after != nil && before.ValidFrom.Equal(after.ValidFrom) {
			return nil // the same version
		}
		change, of, what := "changed", after, ""
		switch {
		case before == nil:
			change = "added"
		case after == nil:
			change, of = "removed", before
		default:
			list, err := r.compareVersions(ctx, before, after)
			if err != nil || len(list) == 0 {
				return err // it was changed and changed back
			}
			what = strings.Join(list, ",")
		}
		counts[change]++
		if len(a.Rows) == r.limits.Rows {
			return tooLarge(r.doc.Select.at, "narrow it by bbox, filter or dataset, or take a shorter time", "more than %d objects have changed", r.limits.Rows)
		}
		var attributes [2]string
		var valid [2]time.Time
		for i, v := range []*store.Version{before, after} {
			if v == nil {
				continue
			}
			valid[i] = v.ValidFrom
			var err error
			if attributes[i], err = AttributesJSON(v.Object.Attributes); err != nil {
				return err
			}
		}
		o := &of.Object
		a.Rows = append(a.Rows, export.Row{ID: of.Dataset + "/" + o.ID, Geometry: export.Footprint(of.Footprint), Values: []export.Value{
			export.TextOf(change), export.TextOf(of.Dataset + "/" + o.ID), export.TextOf(of.Dataset), export.TextOf(o.ID), export.TextOf(string(o.Class)), export.TextOf(o.Type), export.TextOf(o.Name), export.TextOf(what),
			export.TimeOf(valid[0]), export.TimeOf(valid[1]), export.JSONOf(attributes[0]), export.JSONOf(attributes[1]),
		}})
		return nil
	}
	// A time in the future is now: nothing is known of what comes.
	if to.After(r.now) {
		return nil, r.doc.Times.at.member("to").fault("found %s, which is in the future", clock(to))
	}
	other := func(v *store.Version, at time.Time) (*store.Version, error) {
		w, err := r.view.Store.Get(ctx, store.Key{Dataset: v.Dataset, ID: v.Object.ID}, at)
		var missing *store.Error
		if errors.As(err, &missing) && missing.Code == store.NotFound {
			return nil, nil
		}
		return w, err
	}
	olds, stopOld := iter.Pull2(r.versions(ctx, r.doc.Select, from))
	defer stopOld()
	news, stopNew := iter.Pull2(r.versions(ctx, r.doc.Select, to))
	defer stopNew()
	before, err1, okOld := olds()
	after, err2, okNew := news()
	for n := 0; okOld || okNew; n++ {
		if err := errors.Join(err1, err2); err != nil {
			return nil, first(err1, err2)
		}
		switch {
		case okOld && okNew && before.Position == after.Position:
			if err := add(before, after); err != nil {
				return nil, err
			}
			before, err1, okOld = olds()
			after, err2, okNew = news()
		case okOld && (!okNew || before.Position < after.Position):
			w, err := other(before, to)
			if err != nil {
				return nil, err
			}
			if err := add(before, w); err != nil {
				return nil, err
			}
			before, err1, okOld = olds()
		default:
			w, err := other(after, from)
			if err != nil {
				return nil, err
			}
			if err := add(w, after); err != nil {
				return nil, err
			}
			after, err2, okNew = news()
		}
		if n&4095 == 4095 {
			r.progress(Progress{Phase: "versions", Done: n + 1})
		}
	}
	r.meta["counts"] = counts
	return a, ctx.Err()
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// compareVersions names what differs between two versions.
func (r *run) compareVersions(ctx context.Context, before, after *store.Version) ([]string, error) {
	var out []string
	a, b := &before.Object, &after.Object
	for _, c := range []struct {
		name string
		same bool
	}{
		{"class", a.Class == b.Class}, {"type", a.Type == b.Type}, {"name", a.Name == b.Name}, {"cim_level", a.Level == b.Level}, {"height", a.Height == b.Height},
		{"attributes", slices.Equal(a.Attributes, b.Attributes)}, {"parents", slices.Equal(a.Parents, b.Parents)}, {"children", slices.Equal(a.Children, b.Children)},
		{"crs", a.CRS == b.CRS && before.SourceCRS == after.SourceCRS},
	} {
		if !c.same {
			out = append(out, c.name)
		}
	}
	// The pages came without geometries.
	key := store.Key{Dataset: before.Dataset, ID: a.ID}
	x, err := r.view.Store.Get(ctx, key, before.ValidFrom)
	if err != nil {
		return nil, err
	}
	y, err := r.view.Store.Get(ctx, key, after.ValidFrom)
	if err != nil {
		return nil, err
	}
	if !slices.EqualFunc(x.Object.Geometries, y.Object.Geometries, sameGeometry) {
		out = append(out, "geometry")
	}
	return out, nil
}

func sameGeometry(a, b spatial.Geometry) bool {
	return a.Kind == b.Kind && a.LoD == b.LoD && a.HasZ == b.HasZ && slices.Equal(a.XYZ, b.XYZ) && slices.Equal(a.Rings, b.Rings) &&
		slices.Equal(a.Surfaces, b.Surfaces) && slices.Equal(a.Shells, b.Shells) && slices.Equal(a.Solids, b.Solids) && slices.Equal(a.SemanticOf, b.SemanticOf)
}

package policy

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

// Indexer is the index of the city model; *index.Index is one.
type Indexer interface {
	// For gives the objects of the data sets that see answers true for.
	For(see func(dataset string) bool) index.View
}

// City gives what the caller may see of the city. An object is seen with its
// data set, whose code is that of a Dataset of the catalogue; a data set that
// the catalogue does not have is not open (苏州市数据条例 第十四条; R28, R32).
func (v *View) City() (*city.View, error) {
	o := &v.g.o
	if o.City == nil || o.Index == nil || o.Join == nil {
		return nil, &city.Error{Code: city.Unavailable, Message: "this hub has no city model"}
	}
	// The catalogue's version is in the key: what was made for the public when a
	// data set was open must not be shown when it is closed.
	c := &city.View{Key: fmt.Sprintf("%s@%d", v.Key(), v.g.catalogue().version), Index: o.Index.For(v.SeesDataset)}
	c.Store = &reader{v: v, index: c.Index, store: o.City}
	seen := &observed{v: v, b: o.Join.Bindings()}
	c.Observed, c.Bindings = seen, seen
	if v.all {
		c.Edit = o.Editor
	}
	return c, nil
}

// SeesDataset reports whether the caller may see the Dataset with a code.
func (v *View) SeesDataset(code string) bool {
	if v.all {
		return true
	}
	_, ok := slices.BinarySearch(v.g.catalogue().codes, code)
	return ok
}

// reader is the part of the city model's store that a View sees.
type reader struct {
	v     *View
	index index.View
	store store.Reader
}

var _ store.Reader = (*reader)(nil)

// narrow limits q to what the caller sees; false: nothing.
func (r *reader) narrow(q *store.Query) bool {
	if r.v.all {
		return true
	}
	open := r.v.g.catalogue().codes
	if q.Datasets == nil {
		q.Datasets = open
	} else {
		q.Datasets = slices.DeleteFunc(slices.Clone(q.Datasets), func(code string) bool { return !slices.Contains(open, code) })
	}
	return len(q.Datasets) > 0
}

// hidden is the store's answer for an object that does not exist, so that the
// two cannot be told apart.
func hidden(op string, key store.Key) error {
	return &store.Error{Code: store.NotFound, Op: op, Object: key.String(), Message: "there never was one", Hint: "check the data set and the identifier"}
}

func (r *reader) Get(ctx context.Context, key store.Key, at time.Time) (*store.Version, error) {
	if !r.v.SeesDataset(key.Dataset) {
		return nil, hidden("get object", key)
	}
	return r.store.Get(ctx, key, at)
}

func (r *reader) Query(ctx context.Context, q store.Query) (store.Page, error) {
	if err := q.Check(); err != nil {
		return store.Page{}, err
	}
	if !r.narrow(&q) {
		return store.Page{}, nil
	}
	return r.store.Query(ctx, q)
}

func (r *reader) Count(ctx context.Context, q store.Query) (int64, error) {
	if err := q.Check(); err != nil {
		return 0, err
	}
	if !r.narrow(&q) {
		return 0, nil
	}
	return r.store.Count(ctx, q)
}

// Extent is that of the store for who sees everything. Of a part it is taken
// from the index: where hidden objects lie is not told either.
func (r *reader) Extent(ctx context.Context, class spatial.Class) (store.BBox, error) {
	if r.v.all {
		return r.store.Extent(ctx, class)
	}
	if err := (store.Query{Class: class}).Check(); err != nil {
		return store.BBox{}, err
	}
	return r.v.g.extents.of(r.v.Key(), r.index, class, r.v.g.catalogue().version), nil
}

func (r *reader) Versions(ctx context.Context, key store.Key) ([]*store.Version, error) {
	if !r.v.SeesDataset(key.Dataset) {
		return nil, hidden("versions of object", key)
	}
	return r.store.Versions(ctx, key)
}

func (r *reader) Parts(ctx context.Context, key store.Key, at time.Time) ([]*store.Version, error) {
	if !r.v.SeesDataset(key.Dataset) {
		return nil, hidden("parts of object", key)
	}
	return r.store.Parts(ctx, key, at)
}

// LastImport counts imports of all data sets; it tells that something changed,
// not what.
func (r *reader) LastImport(ctx context.Context) (int64, error) { return r.store.LastImport(ctx) }

// Changes are given to who sees everything: what ended is known by its position
// alone, of which nobody can tell whether the caller might have seen it.
func (r *reader) Changes(ctx context.Context, after int64, fn func(store.Change) error) (int64, error) {
	if !r.v.all {
		return 0, &city.Error{Code: city.Forbidden, Message: "the feed of changes is for those who see the whole model", Hint: "compare two times instead"}
	}
	return r.store.Changes(ctx, after, fn)
}

// extentOf is the rectangle around the objects of a class.
func extentOf(v index.View, class spatial.Class) store.BBox {
	out := store.BBox{Empty: true}
	v.Search(orb.Bound{Min: orb.Point{-180, -90}, Max: orb.Point{180, 90}}, index.Options{Classes: []spatial.Class{class}}, func(ref index.Ref) bool {
		b := v.Object(ref).Bound
		if out.Empty {
			out = store.BBox{West: b.Min[0], South: b.Min[1], East: b.Max[0], North: b.Max[1]}
			return true
		}
		out.West, out.South = min(out.West, b.Min[0]), min(out.South, b.Min[1])
		out.East, out.North = max(out.East, b.Max[0]), max(out.North, b.Max[1])
		return true
	})
	return out
}

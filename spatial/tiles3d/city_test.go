package tiles3d

import (
	"context"
	"errors"
	"iter"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/paulmach/orb"

	"cityhub/internal/testkit"
	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/citygml"
	"cityhub/spatial/citymodel/cityjson"
	"cityhub/spatial/citymodel/geojson"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
	"cityhub/spatial/store/gpkg"

	"cityhub/spatial/city"
	"cityhub/spatial/index"
)

// scan is an index.View that looks at every object. Methods that tiles do not
// need are not there.
type scan struct {
	index.View
	version uint64
	objects []index.Object
}

func (s *scan) Version() uint64                 { return s.version }
func (s *scan) Len() int                        { return len(s.objects) }
func (s *scan) Object(r index.Ref) index.Object { return s.objects[r] }
func (s *scan) Search(b orb.Bound, o index.Options, fn func(index.Ref) bool) {
	for i := range s.objects {
		x := &s.objects[i]
		ok := o.Classes == nil
		for _, c := range o.Classes {
			ok = ok || c == x.Class
		}
		if ok && (o.Type == "" || o.Type == x.Type) && (o.Dataset == "" || o.Dataset == x.Key.Dataset) && !x.Bound.IsEmpty() && b.Intersects(x.Bound) {
			if !fn(index.Ref(i)) {
				return
			}
		}
	}
}

// newScan reads everything from a store.
func newScan(t testing.TB, s store.Reader, version uint64, keep func(*store.Version) bool) *scan {
	t.Helper()
	v := &scan{version: version}
	for _, class := range append(spatial.Classes(), "") {
		err := eachVersion(t.Context(), s, store.Query{Class: class, Geometries: true}, func(x *store.Version) error {
			if keep != nil && !keep(x) {
				return nil
			}
			o := index.Object{
				Position: x.Position, Key: store.Key{Dataset: x.Dataset, ID: x.Object.ID}, Class: x.Object.Class, Type: x.Object.Type, Name: x.Object.Name,
				Bound: orb.Bound{Min: orb.Point{1, 1}, Max: orb.Point{-1, -1}}, LowMetres: math.NaN(), HighMetres: math.NaN(), Underground: x.Object.Class == spatial.ClassUnderground,
			}
			if x.Footprint != nil && x.Footprint.NumPoints() > 0 {
				b := x.Footprint.Bounds()
				o.Bound = orb.Bound{Min: orb.Point{b.Min[0], b.Min[1]}, Max: orb.Point{b.Max[0], b.Max[1]}}
			}
			b := spatial.EmptyBox()
			for i := range x.Object.Geometries {
				if x.Object.Geometries[i].HasZ {
					b = b.Union(x.Object.Geometries[i].Bounds())
				}
			}
			if !b.Empty() {
				o.LowMetres, o.HighMetres = b.Min[2], b.Max[2]
			}
			v.objects = append(v.objects, o)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// only is a store of which a caller sees some data sets.
type only struct {
	store.Reader
	datasets []string
}

func (o only) Query(ctx context.Context, q store.Query) (store.Page, error) {
	q.Datasets = o.datasets
	return o.Reader.Query(ctx, q)
}

type gateFunc func(*http.Request) (*city.View, error)

func (g gateFunc) City(r *http.Request) (*city.View, error) { return g(r) }

func openStore(t testing.TB) *gpkg.Store {
	t.Helper()
	s, err := gpkg.Open(context.Background(), gpkg.Options{Path: filepath.Join(t.TempDir(), "city.gpkg")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(t testing.TB, s store.Store, dataset string, complete bool, objects iter.Seq2[*spatial.CityObject, error]) store.ImportResult {
	t.Helper()
	r, err := s.Import(t.Context(), store.ImportOptions{Dataset: dataset, Complete: complete}, objects)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func these(objects ...*spatial.CityObject) iter.Seq2[*spatial.CityObject, error] {
	return func(yield func(*spatial.CityObject, error) bool) {
		for _, o := range objects {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// inWGS84 turns objects into WGS 84, as an import does; heights stay.
func inWGS84(t testing.TB, objects iter.Seq2[*spatial.CityObject, error]) iter.Seq2[*spatial.CityObject, error] {
	var from int
	var tr *crs.Transform
	return func(yield func(*spatial.CityObject, error) bool) {
		for o, err := range objects {
			if err == nil && o.CRS.Horizontal == 0 {
				o.CRS.Horizontal = 31256 // Vienna's file does not say: MGI / Austria GK East
			}
			if err == nil && o.CRS.Horizontal != spatial.CRS84 {
				if from != o.CRS.Horizontal {
					c, err := crs.ByCode(o.CRS.Horizontal)
					if err != nil {
						t.Fatal(err)
					}
					from = o.CRS.Horizontal
					if tr, err = crs.Between(c.Traditional(), crs.WGS84().Traditional(), crs.Options{}); err != nil {
						t.Fatal(err)
					}
				}
				for i := range o.Geometries {
					xyz := o.Geometries[i].XYZ
					for p := 0; p+2 < len(xyz); p += 3 {
						if xyz[p], xyz[p+1], err = tr.XY(xyz[p], xyz[p+1]); err != nil {
							t.Fatal(err)
						}
					}
				}
				o.CRS.Horizontal = spatial.CRS84
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// readReal gives the objects of a file of the real data as they are in it.
func readReal(t testing.TB, folder, file string) iter.Seq2[*spatial.CityObject, error] {
	t.Helper()
	f, err := os.Open(filepath.Join(testkit.DataDir(t, folder), filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	o := citymodel.Options{File: filepath.Base(file), Class: spatial.ClassBuilding}
	var r interface {
		Objects() iter.Seq2[*spatial.CityObject, error]
	}
	switch filepath.Ext(file) {
	case ".gml":
		r, err = citygml.Open(f, o)
	case ".jsonl":
		r, err = cityjson.NewSeqReader(f, o)
	case ".geojson":
		r, err = geojson.Open(f, info.Size(), geojson.Options{Options: o})
	default:
		r, err = cityjson.Open(f, info.Size(), o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r.Objects()
}

// realFile puts a file of the real data into a store.
func realFile(t testing.TB, s store.Store, folder, file, dataset string) {
	t.Helper()
	put(t, s, dataset, true, inWGS84(t, readReal(t, folder, file)))
}

var realFiles = []struct{ name, folder, file string }{
	{"suzhou", "suzhou-oldtown-osm-buildings", "suzhou_buildings.geojson"},
	{"rotterdam", "cityjson-samples", "rotterdam/3-20-DELFSHAVEN.city.json"},
	{"vienna", "cityjson-samples", "vienna/vienna.city.jsonl"},
	{"plateau", "plateau-citygml", "64413325_bldg_6697_op.gml"},
}

func newTilesets(t testing.TB, o Options) *Tilesets {
	t.Helper()
	x, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// buildAll gives the files of a tileset.
func buildAll(t testing.TB, x *Tilesets, view *city.View, collection string) (map[string][]byte, Stats) {
	t.Helper()
	files := map[string][]byte{}
	stats, err := x.Build(t.Context(), view, collection, func(name string, b []byte) error {
		if files[name] != nil {
			return errors.New(name + " comes twice")
		}
		files[name] = b
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, stats
}

func viewOf(t testing.TB, s store.Reader, key string, version uint64) *city.View {
	t.Helper()
	return &city.View{Key: key, Store: s, Index: newScan(t, s, version, nil)}
}

// write puts files into a folder.
func writeFiles(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	for name, b := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

package cityimport

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/store"
)

// FuzzRun: whatever a file holds, the import ends with a report, an error tells
// the file and a line, and each object that reaches the store is sound.
func FuzzRun(f *testing.F) {
	f.Add([]byte(collection(feature("a", polygon(square)), feature("b", polygon(bowTie)), feature("c", `{"type":"LineString","coordinates":[[120,31],[120,31]]}`))), byte(0))
	f.Add([]byte(feature("a", polygon(square))+"\n"+feature("b", "null")+"\n"), byte(1))
	f.Add([]byte(`{"type":"CityJSON","version":"2.0","transform":{"scale":[1,1,1],"translate":[0,0,0]},"metadata":{"referenceSystem":"https://www.opengis.net/def/crs/EPSG/0/7415"},"CityObjects":{"a":{"type":"Building","geometry":[{"type":"Solid","lod":"1","boundaries":[[[[0,3,2,1]],[[4,5,6,7]],[[0,1,5,4]],[[1,2,6,5]],[[2,3,7,6]],[[3,0,4,7]]]]}]}},"vertices":[[90000,435000,0],[90001,435000,0],[90001,435001,0],[90000,435001,0],[90000,435000,1],[90001,435000,1],[90001,435001,1],[90000,435001,1]]}`), byte(2))
	f.Add([]byte(`<core:CityModel xmlns:core="http://www.opengis.net/citygml/2.0" xmlns:bldg="http://www.opengis.net/citygml/building/2.0" xmlns:gml="http://www.opengis.net/gml"><core:cityObjectMember><bldg:Building gml:id="b"><bldg:lod0FootPrint><gml:MultiSurface srsName="EPSG:4326" srsDimension="2"><gml:surfaceMember><gml:Polygon><gml:exterior><gml:LinearRing><gml:posList>31.3 120.6 31.3 120.601 31.301 120.601 31.3 120.6</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon></gml:surfaceMember></gml:MultiSurface></bldg:lod0FootPrint></bldg:Building></core:cityObjectMember></core:CityModel>`), byte(4))
	f.Fuzz(func(t *testing.T, content []byte, flags byte) {
		path := filepath.Join(t.TempDir(), "x.json")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s := importerFunc(func(_ context.Context, _ store.ImportOptions, objects seq) (store.ImportResult, error) {
			for o, err := range objects {
				if err != nil {
					return store.ImportResult{}, err
				}
				for i := range o.Geometries {
					if err := o.Geometries[i].Valid(); err != nil {
						t.Fatalf("%s: %v", o.ID, err)
					}
				}
			}
			return store.ImportResult{}, nil
		})
		o := Options{
			Store: s, Dataset: "x", Sources: []Source{{Path: path, Name: "x.json"}}, Class: spatial.ClassBuilding,
			SwapAxes: flags&1 != 0, Strict: flags&2 != 0, SkipUnreadable: flags&4 != 0,
			Limits: citymodel.Limits{ObjectPoints: 10_000, Vertices: 10_000, RecordBytes: 1 << 16, ValueBytes: 1 << 16},
		}
		if flags&8 != 0 {
			o.Repair = RepairNone
		}
		r, err := Run(t.Context(), o)
		var fault *store.Error
		if r == nil || err != nil && (!errors.As(err, &fault) || fault.File != "x.json" || fault.Line < 1) {
			t.Fatalf("%+v, %v", r, err)
		}
		if err == nil && r.Objects == 0 {
			t.Fatalf("nothing was read and nobody says so: %+v", r)
		}
	})
}

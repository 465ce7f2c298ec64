package tiles3d

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/crs"
)

// town is some of every collection.
func town() (all []*spatial.CityObject) {
	const lon, lat = 120.6, 31.3
	all = field("b", 12, lon, lat)
	for i := range 40 {
		d := float64(i) * 1e-4
		road := line(spatial.ClassRoad, nil, lon, lat+d, 0, lon+4e-3, lat+d, 0, lon+4e-3, lat+d+1e-3, 0)
		road.ID = fmt.Sprint("r", i)
		pipe := line(spatial.ClassUnderground, spatial.Attributes{{Name: "管径", Value: spatial.IntValue(300)}, {Name: "类别", Value: spatial.TextValue("污水")}}, lon, lat+d, -3, lon+4e-3, lat+d, -3.5)
		pipe.ID, pipe.Geometries[0].HasZ = fmt.Sprint("u", i), true
		lamp := &spatial.CityObject{ID: fmt.Sprint("l", i), Class: spatial.ClassComponent, Type: "Lamp", CRS: crs.EPSG(4326), Height: spatial.Height{Metres: 9, From: "height"},
			Geometries: []spatial.Geometry{{Kind: spatial.MultiPoint, XYZ: []float64{lon + d, lat, 0}}}}
		all = append(all, road, pipe, lamp)
	}
	lake := box("lake", lon+5e-3, lat, 5e-2, 0)
	lake.Class, lake.Height = spatial.ClassWater, spatial.Height{}
	district := box("district", lon, lat, 8e-2, 0)
	district.Class, district.Type, district.Height = "", city.TypeDistrict, spatial.Height{}
	tree := box("tree", lon, lat, 1e-4, 0)
	tree.Class, tree.Type, tree.Height = "", "SolitaryVegetationObject", spatial.Height{}
	return append(all, lake, district, tree)
}

// TestCollections builds a tileset of each collection: each has its own objects
// and no others, the glTF validator finds no fault, and what is built is what
// is served.
func TestCollections(t *testing.T) {
	s := openStore(t)
	put(t, s, "town", true, these(town()...))
	h, view := served(t, s, Options{TileObjects: 8, GroundMetres: 3.5, EllipsoidOffsetMetres: 9.5})
	want := map[string]struct {
		prefix string
		n      int
	}{"buildings": {"b", 144}, "roads": {"r", 40}, "water": {"lake", 1}, "underground": {"u", 40}, "components": {"l", 40}, "districts": {"district", 1}, "others": {"tree", 1}}
	for _, c := range city.Collections() {
		t.Run(c.ID, func(t *testing.T) {
			files, stats := buildAll(t, h, view, c.ID)
			if stats.Problems != (Problems{}) {
				t.Errorf("problems %+v", stats.Problems)
			}
			contents := walk(t, h, c.ID)
			seen := idsOf(t, contents)
			w := want[c.ID]
			if len(seen) != w.n || stats.Objects != w.n {
				t.Errorf("%d objects served, %d built, want %d", len(seen), stats.Objects, w.n)
			}
			for id, n := range seen {
				if n != 1 || !strings.HasPrefix(id, w.prefix) {
					t.Errorf("%s %d times", id, n)
				}
			}
			for name, a := range contents {
				if b := files[strings.TrimPrefix(name, "/3dtiles/"+c.ID+"/")]; !bytes.Equal(a.body, b) {
					t.Errorf("%s: %d bytes are served, %d built", name, len(a.body), len(b))
				}
			}
			if len(contents) != stats.Tiles || len(files) != 1+stats.Tiles+stats.Subtrees {
				t.Errorf("%d contents, %d files; %+v", len(contents), len(files), stats)
			}
			validate(t, files)
		})
	}
}

package streams

import (
	"slices"
	"strings"

	"github.com/paulmach/orb"

	"cityhub/twin"
)

// Place is what a Datastream observes and where it belongs, by the city model.
type Place struct {
	District string // code of the administrative district; empty: that of the registry counts
	// Object is the key DATASET/ID of the CityObject, empty for none; Class, Type
	// and Name are the object's.
	Object, Class, Type, Name string
	// Parents are the keys of the objects that Object is a part of, near and far.
	Parents []string
	// Footprint gives the object's area in WGS 84 degrees, from memory; nil: none.
	Footprint func() orb.Geometry
}

// Places knows the Places of Datastreams. It answers from memory, is safe for
// concurrent use and does not call the Hub; a changed binding is told of with
// Hub.Invalidate.
type Places interface {
	Binding(ds twin.DatastreamID) (Place, bool)
}

// DatasetView is a View that also says which Datasets its caller may see, by
// code. A View that is none sees no events and nothing of CityObjects: filters
// by them choose nothing.
type DatasetView interface {
	View
	SeesDataset(code string) bool
}

// seesObject reports whether a caller may know of the CityObject with a key.
// What may not be seen may not be asked for either: a filter would tell of it
// (苏州市数据条例 第十三条, R28).
func seesObject(v View, key string) bool {
	dataset, _, ok := strings.Cut(key, "/")
	return ok && seesDataset(v, dataset)
}

func seesDataset(v View, code string) bool {
	d, ok := v.(DatasetView)
	return ok && code != "" && d.SeesDataset(code)
}

// equal compares all but the footprint, which belongs to the object.
func (p *Place) equal(o *Place) bool {
	if p == nil || o == nil {
		return p == o
	}
	return p.District == o.District && p.Object == o.Object && p.Class == o.Class && p.Type == o.Type && p.Name == o.Name && slices.Equal(p.Parents, o.Parents)
}

// placeOf asks where a Datastream belongs; nil: nowhere that is known.
func (h *Hub) placeOf(id twin.DatastreamID) *Place {
	if h.o.Place == nil {
		return nil
	}
	p, ok := h.o.Place.Binding(id)
	if !ok {
		return nil
	}
	return &p
}

// district is where ds is, by the city model or else by the registry.
func (s *slot) district() string {
	if s.place != nil && s.place.District != "" {
		return s.place.District
	}
	return s.ds.District
}

// index and unindex keep the places findable.
func (t *slotTable) index(id twin.DatastreamID, s *slot) {
	if s.ds == nil {
		return
	}
	if t.byDistrict == nil {
		t.byDistrict = make(map[string][]twin.DatastreamID)
		t.byObject = make(map[string][]twin.DatastreamID)
	}
	if d := s.district(); d != "" {
		t.byDistrict[d] = append(t.byDistrict[d], id)
	}
	if s.place == nil || s.place.Object == "" {
		return
	}
	t.byObject[s.place.Object] = append(t.byObject[s.place.Object], id)
	for _, p := range s.place.Parents {
		t.byObject[p] = append(t.byObject[p], id)
	}
}

func (t *slotTable) unindex(id twin.DatastreamID, s *slot) {
	if s.ds == nil {
		return
	}
	drop := func(m map[string][]twin.DatastreamID, key string) {
		if list := without(m[key], id); len(list) > 0 {
			m[key] = list
		} else {
			delete(m, key)
		}
	}
	if d := s.district(); d != "" {
		drop(t.byDistrict, d)
	}
	if s.place == nil || s.place.Object == "" {
		return
	}
	drop(t.byObject, s.place.Object)
	for _, p := range s.place.Parents {
		drop(t.byObject, p)
	}
}

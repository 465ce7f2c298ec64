package features

import (
	"fmt"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/store"
)

// The collections besides those of the city model.
const (
	liveID      = "live"
	terminalsID = "terminals"
)

// kind is a collection as it is served here.
type kind struct {
	city.Collection
	about, aboutEn string
}

func kinds() []kind {
	about := map[spatial.Class][2]string{
		spatial.ClassBuilding:    {"房屋和其他建筑，有平面范围、高度和三维模型。", "Buildings, with footprint, height and three-dimensional model."},
		spatial.ClassRoad:        {"道路、桥梁、铁路和广场。", "Roads, bridges, railways and squares."},
		spatial.ClassWater:       {"河道、湖泊和其他水体。", "Canals, lakes and other water bodies."},
		spatial.ClassUnderground: {"隧道、地下建筑和管线。", "Tunnels, underground structures and pipes."},
		spatial.ClassComponent:   {"路灯、井盖、树木和其他城市部件。", "Street lamps, manholes, trees and other city components."},
	}
	var list []kind
	for _, c := range city.Collections() {
		k := kind{Collection: c}
		switch {
		case c.Class != "":
			k.about, k.aboutEn = about[c.Class][0], about[c.Class][1]
		case c.Type == city.TypeDistrict:
			k.about, k.aboutEn = "行政区划，终端按位置归属。", "Administrative districts, to which terminals are assigned by place."
		default:
			k.about, k.aboutEn = "不属于五大要素的对象，如地形和土地利用。", "Objects that are of none of the five element classes, such as terrain and land use."
		}
		list = append(list, k)
	}
	return append(list,
		kind{city.Collection{ID: terminalsID, Title: "终端", TitleEn: "Terminals"}, "物联感知终端及其最新观测值。", "The terminals of the sensor network with their latest values."},
		kind{city.Collection{ID: liveID, Title: "实时对象", TitleEn: "Live objects"}, "有观测的全部对象，附最新值、质量和时效，可用于筛选。", "Every object on which something is observed, with the latest values, their quality and age, which filters can name."})
}

func kindOf(id string) (kind, bool) {
	for _, k := range kinds() {
		if k.ID == id {
			return k, true
		}
	}
	return kind{}, false
}

func (k kind) live() bool      { return k.ID == liveID }
func (k kind) terminals() bool { return k.ID == terminalsID }
func (k kind) editable() bool  { return !k.live() && !k.terminals() }

// rest reports whether k has the objects of no class that no other collection has.
func (k kind) rest() bool { return k.editable() && k.Rest() }

// classes are those of its objects.
func (k kind) classes() []spatial.Class {
	if k.live() {
		return append(spatial.Classes(), "")
	}
	return []spatial.Class{k.Class}
}

// has reports whether an object belongs to it; of live, whether it could.
func (k kind) has(o *spatial.CityObject) bool {
	return k.live() || k.Has(o.Class, o.Type)
}

// kind is the collection of the path.
func (c *call) kind() (kind, error) {
	id := c.r.PathValue("collection")
	k, ok := kindOf(id)
	if !ok {
		return k, &city.Error{Code: city.NotFound, Field: "collectionId", Message: fmt.Sprintf("there is no collection %.100q", id), Hint: "/ogc/collections lists them"}
	}
	return k, nil
}

// extent is the rectangle around a collection; empty where nothing has a place.
func (c *call) extent(k kind) (store.BBox, error) {
	sum := store.BBox{Empty: true}
	if k.terminals() {
		err := c.eachTerminal(city.Select{}, 0, func(t *city.Terminal) bool {
			if t.Lon == t.Lon { // NaN: it has no place
				sum = union(sum, store.BBox{West: t.Lon, South: t.Lat, East: t.Lon, North: t.Lat})
			}
			return true
		})
		return sum, err
	}
	if k.live() {
		return c.view.ExtentObserved(c.ctx)
	}
	return c.view.Extent(c.ctx, k.Collection)
}

func union(a, b store.BBox) store.BBox {
	switch {
	case a.Empty:
		return b
	case b.Empty:
		return a
	}
	return store.BBox{West: min(a.West, b.West), South: min(a.South, b.South), East: max(a.East, b.East), North: max(a.North, b.North)}
}

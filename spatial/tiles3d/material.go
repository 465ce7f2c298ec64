package tiles3d

import (
	"math"
	"strings"

	"cityhub/spatial"
)

// material is an index into materials: one primitive of a tile for each.
type material uint8

const (
	roofTile  material = iota // 青瓦
	wallWhite                 // 粉墙
	roofFlat
	wallTower
	ground
	window
	door
	road
	paving
	water
	bed
	component
	pipeWater
	pipeSewer
	pipeGas
	pipePower
	pipeTelecom
	pipeOther
	district
	other
	numMaterials
)

// materials are names and sRGB colours. Houses are white with grey tiles, as
// those of Suzhou; pipes are told apart by colour: water blue,
// sewers brown, gas yellow, power red, telecommunication green.
var materials = [numMaterials]struct {
	name  string
	color uint32
}{
	roofTile: {"roof", 0x737a81}, wallWhite: {"wall", 0xfaf8f3}, roofFlat: {"flat roof", 0x9aa1a6}, wallTower: {"tower wall", 0xcfd8df},
	ground: {"ground", 0xb8b2a7}, window: {"window", 0x6d93a8}, door: {"door", 0x74492c},
	road: {"road", 0x74767a}, paving: {"path", 0xc9c2b2}, water: {"water", 0x4b86a6}, bed: {"water bed", 0x6e6a55},
	component: {"component", 0x2f6f9f},
	pipeWater: {"water pipe", 0x2f7fd0}, pipeSewer: {"sewer", 0x7d5a3c}, pipeGas: {"gas pipe", 0xe2b41f}, pipePower: {"power line", 0xc8372d},
	pipeTelecom: {"telecommunication line", 0x3d9a50}, pipeOther: {"underground", 0x8d7f6b},
	district: {"district boundary", 0xc8553d}, other: {"other", 0xa9a9a9},
}

// linear is the colour as glTF has it: linear, red first.
func (m material) linear() [4]float64 {
	c := materials[m].color
	f := func(v uint32) float64 {
		s := float64(v&0xff) / 255
		if s <= 0.04045 {
			s /= 12.92
		} else {
			s = math.Pow((s+0.055)/1.055, 2.4)
		}
		return math.Round(s*1e4) / 1e4
	}
	return [4]float64{f(c >> 16), f(c >> 8), f(c), 1}
}

// towerMetres is the height from which a house is no longer one with a tiled
// roof: high-rise by GB 50352, over 24 m (民用建筑设计统一标准 3.1.2).
const towerMetres = 24

// palette is the materials of one object.
type palette struct {
	roof, wall, floor, flat material
}

func paletteOf(o *spatial.CityObject, heightMetres float64) palette {
	switch o.Class {
	case spatial.ClassBuilding:
		if heightMetres > towerMetres && !strings.Contains(o.Name, "塔") && !strings.Contains(o.Name, "寺") {
			return palette{roofFlat, wallTower, ground, roofFlat}
		}
		return palette{roofTile, wallWhite, ground, roofTile}
	case spatial.ClassRoad:
		return palette{road, paving, road, road}
	case spatial.ClassWater:
		return palette{water, bed, bed, water}
	case spatial.ClassUnderground:
		m := pipeOf(o)
		return palette{m, m, m, m}
	case spatial.ClassComponent:
		return palette{component, component, component, component}
	}
	if o.Type == "AdministrativeDistrict" {
		return palette{district, district, district, district}
	}
	return palette{other, other, other, other}
}

// pipeOf tells what a pipe carries by the words of its type, name and kind.
func pipeOf(o *spatial.CityObject) material {
	words := o.Type + " " + o.Name
	for _, name := range []string{"medium", "utility", "kind", "type", "管线类型", "类别", "用途"} {
		if v, ok := o.Attributes.Get(name); ok {
			words += " " + v.String()
		}
	}
	words = strings.ToLower(words)
	for _, k := range []struct {
		m     material
		words []string
	}{
		{pipeSewer, []string{"sewer", "sewage", "waste", "drain", "storm", "污水", "雨水", "排水"}},
		{pipeGas, []string{"gas", "燃气", "天然气"}},
		{pipePower, []string{"power", "electric", "电力", "供电"}},
		{pipeTelecom, []string{"telecom", "communication", "fibre", "fiber", "通信", "电信", "光缆"}},
		{pipeWater, []string{"water", "供水", "给水", "自来水"}},
	} {
		for _, w := range k.words {
			if strings.Contains(words, w) {
				return k.m
			}
		}
	}
	return pipeOther
}

// of is the material of a surface: by what it is said to be, or else by where
// it faces; up is the vertical part of its normal.
func (p palette) of(kind spatial.SurfaceKind, up float64) material {
	switch kind {
	case spatial.SurfaceRoof:
		return p.roof
	case spatial.SurfaceWall, spatial.SurfaceInteriorWall, spatial.SurfaceClosure:
		return p.wall
	case spatial.SurfaceGround, spatial.SurfaceFloor, spatial.SurfaceOuterFloor, spatial.SurfaceOuterCeiling, spatial.SurfaceCeiling:
		return p.floor
	case spatial.SurfaceWindow:
		return window
	case spatial.SurfaceDoor:
		return door
	case spatial.SurfaceWater:
		return water
	case spatial.SurfaceWaterGround:
		return bed
	case spatial.SurfaceTraffic:
		return road
	case spatial.SurfaceAuxiliaryTraffic:
		return paving
	}
	switch {
	case up > 0.3:
		return p.roof
	case up < -0.3:
		return p.floor
	}
	return p.wall
}

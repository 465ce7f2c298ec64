package tiles3d

import (
	"fmt"
	"math"
)

// Levels of the grid. At minLevel the cells are 90° wide, so that none reaches
// over a pole; at maxLevel about ten metres.
const (
	minLevel = 2
	maxLevel = 22
)

// cell is a cell of the grid: x from -180° east, y from -180° north.
type cell struct {
	level int
	x, y  uint32
}

// cellAt is the cell of a level at a position.
func cellAt(lonDeg, latDeg float64, level int) cell {
	n := float64(uint32(1) << level)
	f := func(deg float64) uint32 { return uint32(min(max(math.Floor((deg+180)/360*n), 0), n-1)) }
	return cell{level, f(lonDeg), min(f(latDeg), uint32(n*0.75)-1)} // the north pole is in the cell south of it
}

// degrees are the edges of c.
func (c cell) degrees() (west, south, east, north float64) {
	size := 360 / float64(uint32(1)<<c.level)
	west, south = -180+float64(c.x)*size, -180+float64(c.y)*size
	return west, south, west + size, south + size
}

// metres is the height of c on the map.
func (c cell) metres() float64 { return 40_007_863 / float64(uint32(1)<<c.level) }

// up is the cell n levels above that holds c.
func (c cell) up(n int) cell { return cell{c.level - n, c.x >> n, c.y >> n} }

// child is a quarter of c, in Morton order: east is 1, north is 2.
func (c cell) child(k int) cell {
	return cell{c.level + 1, 2*c.x + uint32(k&1), 2*c.y + uint32(k>>1)}
}

// below is the cell whose address relative to c is level, x, y; false where that
// is no address.
func (c cell) below(level int, x, y uint32) (cell, bool) {
	if level < 0 || c.level+level > maxLevel || x >= 1<<level || y >= 1<<level {
		return cell{}, false
	}
	return cell{c.level + level, c.x<<level + x, c.y<<level + y}, true
}

func (c cell) String() string { return fmt.Sprintf("%d-%d-%d", c.level, c.x, c.y) }

// morton is the position of c, at its own level, in Morton order (z-order):
// the bits of x and y in turn.
func (c cell) morton() uint64 { return spread(c.x) | spread(c.y)<<1 }

func spread(v uint32) uint64 {
	x := uint64(v)
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	x = (x | x<<2) & 0x3333333333333333
	return (x | x<<1) & 0x5555555555555555
}

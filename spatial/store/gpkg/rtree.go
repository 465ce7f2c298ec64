package gpkg

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"cityhub/spatial/store"
)

// The nodes of SQLite's R*Tree (ext/rtree/rtree.c): depth in the root, number
// of cells, cells of an id and minx, maxx, miny, maxy, all big-endian.
const (
	rtreeCell  = 8 + 4*4
	rtreeSize  = 4 + 51*rtreeCell // of a node, with pages of 4096 bytes
	rtreePack  = 40               // cells in a node that is built here; room for 11 more
	rowsAtOnce = 200
)

// rtreeEntry is a cell: a feature, or a node of the level below.
type rtreeEntry struct {
	id                     int64
	west, east, south, nor float32
	node                   int64 // in which it is
}

func entryOf(fid int64, b store.BBox) rtreeEntry {
	return rtreeEntry{id: fid, west: down(b.West), east: -down(-b.East), south: down(b.South), nor: -down(-b.North)}
}

// down is the greatest 32-bit number that is not above v.
func down(v float64) float32 {
	f := float32(v)
	if float64(f) > v {
		f = math.Nextafter32(f, float32(math.Inf(-1)))
	}
	return f
}

// buildIndex fills the empty R*Tree of a table at once, packed by Sort-Tile-
// Recursive (S. T. Leutenegger et al., "STR: A Simple and Efficient Algorithm
// for R-Tree Packing", ICDE 1997): several times faster than cell by cell.
func (w *writer) buildIndex(t *tableWriter) error {
	leaves := t.entries
	t.entries = nil
	if len(leaves) == 0 {
		return nil
	}
	name := "rtree_" + t.name + "_geom"
	byX := func(a, b rtreeEntry) int { return cmp.Compare(a.west+a.east, b.west+b.east) }
	byY := func(a, b rtreeEntry) int { return cmp.Compare(a.south+a.nor, b.south+b.nor) }
	next := int64(2) // 1 is the root
	level := leaves
	for depth := 0; ; depth++ {
		if len(level) <= rtreePack {
			if err := w.writeNode(name, 1, depth, level); err != nil {
				return err
			}
			break
		}
		nodes := (len(level) + rtreePack - 1) / rtreePack
		slab := rtreePack * int(math.Ceil(math.Sqrt(float64(nodes))))
		slices.SortFunc(level, byX)
		var above []rtreeEntry
		for part := range slices.Chunk(level, slab) {
			slices.SortFunc(part, byY)
			for cells := range slices.Chunk(part, rtreePack) {
				e := cells[0]
				e.id = next
				for _, c := range cells {
					e.west, e.east, e.south, e.nor = min(e.west, c.west), max(e.east, c.east), min(e.south, c.south), max(e.nor, c.nor)
				}
				if err := w.writeNode(name, next, 0, cells); err != nil {
					return err
				}
				above = append(above, e)
				next++
			}
		}
		if depth > 0 {
			if err := w.writeLinks(`INSERT INTO `+name+`_parent (nodeno, parentnode) VALUES `, level); err != nil {
				return err
			}
		} else {
			slices.SortFunc(leaves, func(a, b rtreeEntry) int { return cmp.Compare(a.id, b.id) })
			if err := w.writeLinks(`INSERT INTO `+name+`_rowid (rowid, nodeno) VALUES `, leaves); err != nil {
				return err
			}
		}
		level = above
	}
	if next > 2 { // the members of the root
		return w.writeLinks(`INSERT INTO `+name+`_parent (nodeno, parentnode) VALUES `, level)
	}
	return w.writeLinks(`INSERT INTO `+name+`_rowid (rowid, nodeno) VALUES `, level)
}

// writeNode writes a node and notes it in its cells.
func (w *writer) writeNode(name string, node int64, depth int, cells []rtreeEntry) error {
	b := make([]byte, 4, rtreeSize)
	binary.BigEndian.PutUint16(b, uint16(depth))
	binary.BigEndian.PutUint16(b[2:], uint16(len(cells)))
	for i := range cells {
		c := &cells[i]
		c.node = node
		b = binary.BigEndian.AppendUint64(b, uint64(c.id))
		for _, v := range [4]float32{c.west, c.east, c.south, c.nor} {
			b = binary.BigEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	_, err := w.tx.ExecContext(w.ctx, `INSERT OR REPLACE INTO `+name+`_node (nodeno, data) VALUES (?, ?)`, node, b[:rtreeSize])
	return err
}

// writeLinks says in which node each entry is.
func (w *writer) writeLinks(insert string, entries []rtreeEntry) error {
	full, err := w.tx.PrepareContext(w.ctx, insert+`(?, ?)`+strings.Repeat(`, (?, ?)`, rowsAtOnce-1))
	if err != nil {
		return err
	}
	for part := range slices.Chunk(entries, rowsAtOnce) {
		args := make([]any, 0, 2*rowsAtOnce)
		for _, e := range part {
			args = append(args, e.id, e.node)
		}
		if len(part) == rowsAtOnce {
			_, err = full.ExecContext(w.ctx, args...)
		} else {
			_, err = w.tx.ExecContext(w.ctx, insert+`(?, ?)`+strings.Repeat(`, (?, ?)`, len(part)-1), args...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

package index

import "hash/maphash"

// table finds objects by the hash of something that they have: slots of the
// object's number plus one, or zero, with linear probing.
type table struct{ slots []uint32 }

func newTable(n int) table { return table{make([]uint32, n+n/2+1)} }

// start is the slot of a hash: its upper half, scaled.
func (t table) start(hash uint64) int { return int((hash >> 32) * uint64(len(t.slots)) >> 32) }

// find gives the slot of the object with a hash for which is holds, and its
// number; where there is none, the slot in which it would be, and -1.
func (t table) find(hash uint64, is func(uint32) bool) (slot, object int) {
	for slot = t.start(hash); t.slots[slot] != 0; {
		if o := t.slots[slot] - 1; is(o) {
			return slot, int(o)
		}
		if slot++; slot == len(t.slots) {
			slot = 0
		}
	}
	return slot, -1
}

func (t table) add(hash uint64, object uint32) {
	slot, _ := t.find(hash, func(uint32) bool { return false })
	t.slots[slot] = object + 1
}

// hashPosition spreads positions, which are mostly consecutive (D. Knuth, The Art
// of Computer Programming 3, section 6.4, multiplicative hashing).
func hashPosition(p int64) uint64 { return uint64(p) * 0x9e3779b97f4a7c15 }

// keyHash hashes keys with a seed of its own, so that nobody can choose
// identifiers that collide.
type keyHash struct{ seed maphash.Seed }

func (k keyHash) of(dataset, id string) uint64 {
	return maphash.String(k.seed, id) ^ maphash.String(k.seed, dataset)*3
}

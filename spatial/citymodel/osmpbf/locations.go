package osmpbf

import (
	"slices"
	"sort"
)

// locations are the places of the nodes that are needed: two arrays, sorted by
// id, 16 bytes for each node.
type locations struct {
	ids   []int64
	at    []location
	tidy  int // ids up to here are sorted and different
	last  int // where the last id was found
	found int
}

func (l *locations) reset() { *l = locations{ids: l.ids[:0], at: l.at[:0]} }

// need notes an id.
func (l *locations) need(id int64) {
	l.ids = append(l.ids, id)
	if len(l.ids) >= 2*l.tidy+1<<20 {
		l.sort()
	}
}

// sort puts the ids in order, each once.
func (l *locations) sort() {
	slices.Sort(l.ids)
	l.ids = slices.Compact(l.ids)
	l.tidy = len(l.ids)
}

// ready makes room for the places.
func (l *locations) ready() {
	l.sort()
	if cap(l.at) < len(l.ids) {
		l.at = make([]location, len(l.ids))
	}
	l.at = l.at[:len(l.ids)]
	for i := range l.at {
		l.at[i] = location{nowhere, nowhere}
	}
	l.last, l.found = 0, 0
}

// index finds an id. Nodes mostly stand in the order of their ids, so that the
// next one is near the last one.
func (l *locations) index(id int64) (int, bool) {
	from, to := 0, len(l.ids)
	if l.last < to && l.ids[l.last] <= id {
		from = l.last
		for step := 1; from+step < to; step *= 2 {
			if l.ids[from+step] > id {
				to = from + step
				break
			}
			from += step
		}
	}
	i := from + sort.Search(to-from, func(i int) bool { return l.ids[from+i] >= id })
	if i < len(l.ids) && l.ids[i] == id {
		l.last = i
		return i, true
	}
	return 0, false
}

func (l *locations) set(id int64, at location) {
	if i, ok := l.index(id); ok {
		if l.at[i].x == nowhere {
			l.found++
		}
		l.at[i] = at
	}
}

// get is the place of a node; false where the file does not have it.
func (l *locations) get(id int64) (location, bool) {
	i, ok := l.index(id)
	if !ok || l.at[i].x == nowhere {
		return location{}, false
	}
	return l.at[i], true
}

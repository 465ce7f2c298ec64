package index

import (
	"context"
	"hash/maphash"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// Settings of an Index.
type Settings struct {
	// FirstVersion is the Version of the empty index; 0: a random one, so that
	// versions of different runs of the program do not meet in somebody's cache.
	FirstVersion uint64
	// PageSize is the number of objects that Load asks the store for at once; 0:
	// 1000. At most store.MaxLimit.
	PageSize int
}

// Index is the city in memory. Changes are made one after the other, each of
// which replaces the snapshot that Views are made of.
type Index struct {
	o       Settings
	hash    keyHash
	scratch *scratchPool

	changing sync.Mutex // held while the next snapshot is made
	groupOf  map[groupKey]uint32
	groups   []group // of all snapshots; only ever becomes longer
	current  atomic.Pointer[snapshot]
}

type groupKey struct {
	class        spatial.Class
	typ, dataset string
}

// New makes an empty Index.
func New(o Settings) *Index {
	for o.FirstVersion == 0 {
		o.FirstVersion = rand.Uint64() >> 12 // exact in JSON too
	}
	if o.PageSize <= 0 {
		o.PageSize = 1000
	}
	o.PageSize = min(o.PageSize, store.MaxLimit)
	x := &Index{o: o, hash: keyHash{maphash.MakeSeed()}, scratch: &scratchPool{}, groupOf: make(map[groupKey]uint32)}
	x.current.Store(&snapshot{version: o.FirstVersion, hash: x.hash, scratch: x.scratch})
	return x
}

// For gives the objects of the data sets that see lets through, as they are
// now; nil: all. It asks once for each data set. A View keeps what it shows in
// memory: let go of it after the request.
func (x *Index) For(see func(dataset string) bool) View { return newView(x.current.Load(), see) }

// Version is that of the Views that For gives now.
func (x *Index) Version() uint64 { return x.current.Load().version }

// Load replaces the content by all that is valid in r now, class by class. It
// calls progress, which may be nil, after each page with the number of objects
// so far. After an error the content is as it was.
//
// An import that ends while Load runs may be in the content or not: Apply the
// changes since before Load afterwards; changes that it has already do no harm.
func (x *Index) Load(ctx context.Context, r store.Reader, progress func(objects int64)) error {
	x.changing.Lock()
	defer x.changing.Unlock()
	old := x.current.Load()
	next := &snapshot{version: old.version + 1, hash: x.hash, scratch: x.scratch}
	var b batch
	for _, class := range append(spatial.Classes(), "") {
		// Geometries say how high and how deep an object reaches.
		q := store.Query{Class: class, Limit: x.o.PageSize, Geometries: true}
		for {
			page, err := r.Query(ctx, q)
			if err != nil {
				return err
			}
			for _, v := range page.Versions {
				if err := x.add(&b, v); err != nil {
					return err
				}
			}
			if progress != nil {
				progress(int64(b.len()))
			}
			if q.After = page.Next; page.Next == 0 {
				break
			}
		}
	}
	next.append(&b, x.groups)
	x.current.Store(next)
	return nil
}

// Apply puts changed versions in the place of what the index has of their
// objects, after it has taken out the objects at the ended positions. A changed
// version that is no longer valid takes its object out too. No object should
// come twice. After an error, of changed or of a version, the content is as it
// was.
//
// It takes time in proportion to what changes, and now and then, when there
// has been much, to all of the content: a second or two for a million objects.
func (x *Index) Apply(changed iter.Seq2[*store.Version, error], ended []int64) error {
	return x.Update(func(put func(*store.Version) error, end func(int64)) error {
		for _, position := range ended {
			end(position)
		}
		if changed == nil {
			return nil
		}
		for v, err := range changed {
			if err == nil {
				err = put(v)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Update is Apply for changes that come through a callback: feed calls put for
// each changed version and end for each position at which nothing is valid any
// more, from its own goroutine. An error of feed comes back as it is, and the
// content is as it was.
func (x *Index) Update(feed func(put func(*store.Version) error, end func(position int64)) error) error {
	x.changing.Lock()
	defer x.changing.Unlock()
	c := x.newChange(x.current.Load())
	if err := feed(c.put, c.end); err != nil {
		return err
	}
	if c.batch.len() == 0 && !slices.Contains(c.own, true) {
		return nil
	}
	c.next.append(&c.batch, x.groups)
	c.next.fold()
	x.current.Store(c.next)
	return nil
}

// change is the next snapshot while it is made.
type change struct {
	x     *Index
	next  *snapshot
	own   []bool // parts whose dead bits are next's own
	batch batch
}

func (x *Index) newChange(old *snapshot) *change {
	next := &snapshot{version: old.version + 1, hash: x.hash, scratch: x.scratch, groups: old.groups, objects: slices.Clone(old.objects), parts: slices.Clone(old.parts)}
	return &change{x: x, next: next, own: make([]bool, len(next.parts))}
}

func (c *change) put(v *store.Version) error {
	c.end(v.Position)
	// Of a store that was replaced the same object may have another position.
	if p, i := c.next.find(store.Key{Dataset: v.Dataset, ID: v.Object.ID}); p != nil {
		c.take(p, i)
	}
	if !v.ValidTo.IsZero() {
		return nil
	}
	return c.x.add(&c.batch, v)
}

func (c *change) end(position int64) {
	if p, i := c.next.at(position); p != nil {
		c.take(p, i)
	}
}

// take sets the bit of object i of a part, in bits that no View has.
func (c *change) take(p *part, i int) {
	at := slices.IndexFunc(c.next.parts, func(o part) bool { return o.segment == p.segment })
	if !c.own[at] {
		bits := make([]uint64, (p.len()+63)/64)
		copy(bits, p.dead)
		c.next.parts[at].dead, c.own[at] = bits, true
	}
	c.next.parts[at].dead[i>>6] |= 1 << (i & 63)
	c.next.parts[at].lost++
	c.next.objects[p.group[i]]--
}

// Versions gives versions in the way that Apply takes them.
func Versions(versions []*store.Version) iter.Seq2[*store.Version, error] {
	return func(yield func(*store.Version, error) bool) {
		for _, v := range versions {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// add adds a version to b.
func (x *Index) add(b *batch, v *store.Version) error {
	k := groupKey{v.Object.Class, v.Object.Type, v.Dataset}
	number, known := x.groupOf[k]
	if !known {
		bit := classBit(k.class)
		if bit == 0 {
			return corrupt(v, "Class", "found "+string(k.class)+", which is no class")
		}
		number = uint32(len(x.groups))
		x.groups, x.groupOf[k] = append(x.groups, group{class: k.class, bit: bit, typ: k.typ, dataset: k.dataset}), number
	}
	return b.addVersion(v, number)
}

// append adds a part with what b has; its objects are of these groups.
func (s *snapshot) append(b *batch, groups []group) {
	s.groups = groups
	s.objects = append(s.objects, make([]int, len(groups)-len(s.objects))...)
	if b.len() == 0 {
		return
	}
	g := newSegment(b, s.groups, s.hash)
	for _, group := range g.group {
		s.objects[group]++
	}
	s.parts = append(s.parts, part{segment: g})
	s.number()
}

func (s *snapshot) number() {
	first := 0
	for i := range s.parts {
		s.parts[i].first = Ref(first)
		first += s.parts[i].len()
	}
}

// growth is how many times as many objects a part has at least as the one after
// it. With it an object is packed again some log4(n) times in its life, and a
// search looks through no more than so many parts.
const growth = 4

// fold packs parts again that are too small for their place, or of which more
// than half is gone.
func (s *snapshot) fold() {
	s.parts = slices.DeleteFunc(s.parts, func(p part) bool { return p.lost == p.len() })
	for i := len(s.parts) - 2; i >= 0; i-- {
		if s.parts[i].valid() < growth*s.parts[i+1].valid() {
			s.parts = append(s.parts[:i:i], s.merged(s.parts[i:]))
		}
	}
	for i, p := range s.parts {
		if p.lost > p.len()/2 {
			s.parts[i] = s.merged(s.parts[i : i+1])
		}
	}
	s.number()
}

func (p *part) valid() int { return p.len() - p.lost }

// merged packs parts into one.
func (s *snapshot) merged(parts []part) part {
	var b batch
	for _, p := range parts {
		for i := range p.len() {
			if !p.isDead(i) {
				b.add(p.entryAt(i))
			}
		}
	}
	return part{segment: newSegment(&b, s.groups, s.hash)}
}

// Package state holds the latest observation of every Datastream in memory,
// for snapshots of streams, current values of features and the gate.
//
// It is a view of the log: Load fills it from the series store, Apply follows
// the log from the position that Load returned. Applying the same rows again
// changes nothing, as the newer or equal phenomenon time wins.
//
// Apply has one caller at a time; every other method may be called by any
// number of goroutines while it runs. A Datastream takes 32 bytes, and its
// text on top when its result is one.
package state

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"cityhub/twin"
	"cityhub/twin/block"
	"cityhub/twin/series"
)

const (
	pageBits = 8
	maxHeld  = 1024          // rows for which Apply keeps a lock, some 20 µs
	pageSize = 1 << pageBits // datastreams in a page: what one lock guards and Each copies at once

	// MaxDatastream is the greatest DatastreamID that a State holds. Ids are
	// dense, so it bounds the page table; rows beyond it are counted by Ignored.
	MaxDatastream twin.DatastreamID = 1<<28 - 1
)

// slot is the latest observation of one Datastream but for its text. It holds
// no pointer, so that the garbage collector does not look at the pages.
type slot struct {
	phenomenonNs int64
	resultNs     int64
	value        float64
	quality      twin.Quality
	kind         kind
}

type kind uint8

const (
	kindNone kind = iota // no observation yet
	kindNumber
	kindText
)

// page is the state of pageSize neighbouring Datastreams.
type page struct {
	texts map[uint8]string // of slots of kindText; nil until there is one
	mu    sync.Mutex
	slots [pageSize]slot
}

// State is the latest observation of every Datastream. Use New.
type State struct {
	// pages is replaced by a longer copy when it must grow; its elements are
	// set once. Only Apply and Load write.
	pages    atomic.Pointer[[]atomic.Pointer[page]]
	position atomic.Pointer[twin.Position]
	count    atomic.Int64
	ignored  atomic.Int64
}

// New is an empty State.
func New() *State {
	s := &State{}
	s.pages.Store(&[]atomic.Pointer[page]{})
	s.position.Store(&twin.Position{})
	return s
}

// Load fills s from store and returns the position to follow the log from.
// The store may be appended to meanwhile: what Load sees beyond the position
// will come again and change nothing. Load counts as Apply: not both at once.
// Its errors are those of the store.
func (s *State) Load(ctx context.Context, store series.Store) (twin.Position, error) {
	// The position first: a value that is newer than its position is harmless,
	// a position that is newer than the values would lose some.
	pos, err := store.Position(ctx)
	if err != nil {
		return twin.Position{}, fmt.Errorf("load state: %w", err)
	}
	err = store.EachLatest(ctx, func(o twin.Observation) bool {
		if p := s.grow(o.Datastream); p != nil {
			p.mu.Lock()
			s.set(p, uint8(o.Datastream%pageSize), slot{phenomenonNs: o.PhenomenonNs, resultNs: o.ResultNs, value: o.Value, quality: o.Quality, kind: kindOf(o.IsText)}, o.Text)
			p.mu.Unlock()
		}
		return true
	})
	if err != nil {
		return twin.Position{}, fmt.Errorf("load state: %w", err)
	}
	s.position.Store(&pos)
	return pos, nil
}

func kindOf(isText bool) kind {
	if isText {
		return kindText
	}
	return kindNumber
}

// Apply takes in the rows of batches, in order, and then pos. A row replaces
// what is held when its phenomenon time is newer or equal. It keeps no
// reference to batches but their texts. Readers may see some rows of a batch
// before others, and all of them once Position gives pos.
func (s *State) Apply(batches []*block.Batch, pos twin.Position) {
	for _, b := range batches {
		s.apply(b)
	}
	s.position.Store(&pos)
}

func (s *State) apply(b *block.Batch) {
	// A lock is kept over neighbouring rows of one page: rows of one terminal
	// mostly are. Measured against one RWMutex for all pages, taken for 256 rows
	// at a time: that is a quarter faster on rows scattered over a million
	// datastreams, slower on neighbours, and readers on other cores meet.
	var held *page
	heldNo := twin.DatastreamID(-1)
	for i, ds := range b.Datastreams {
		if no := ds >> pageBits; no != heldNo || held == nil || ds <= 0 || i%maxHeld == 0 {
			if held != nil {
				held.mu.Unlock()
			}
			if held, heldNo = s.grow(ds), no; held == nil {
				continue
			}
			held.mu.Lock()
		}
		text, k := "", kindNumber
		value := b.Values[i]
		if ref := b.TextRefs[i]; ref != 0 {
			text, k, value = b.Texts[ref-1], kindText, 0
		}
		s.set(held, uint8(ds%pageSize), slot{phenomenonNs: b.PhenomenonNs[i], resultNs: b.ResultNs[i], value: value, quality: b.Qualities[i], kind: k}, text)
	}
	if held != nil {
		held.mu.Unlock()
	}
}

// set puts n in place i of p unless what is there is newer; p.mu is held.
func (s *State) set(p *page, i uint8, n slot, text string) {
	old := &p.slots[i]
	switch {
	case old.kind == kindNone:
		s.count.Add(1)
	case n.phenomenonNs < old.phenomenonNs:
		return
	}
	if n.kind == kindText {
		if p.texts == nil {
			p.texts = make(map[uint8]string)
		}
		if old.kind != kindText || p.texts[i] != text { // keep the old copy of an equal text
			p.texts[i] = text
		}
	} else if old.kind == kindText {
		delete(p.texts, i)
	}
	*old = n
}

// grow is the page of ds, made when there is none; nil for an id that no
// registry gives.
func (s *State) grow(ds twin.DatastreamID) *page {
	if ds <= 0 || ds > MaxDatastream {
		s.ignored.Add(1)
		return nil
	}
	no := int(ds >> pageBits)
	pages := *s.pages.Load()
	if no >= len(pages) {
		longer := make([]atomic.Pointer[page], max(no+1, 2*len(pages)))
		for i := range pages {
			longer[i].Store(pages[i].Load())
		}
		pages = longer
		s.pages.Store(&longer)
	}
	p := pages[no].Load()
	if p == nil {
		p = &page{}
		pages[no].Store(p)
	}
	return p
}

// Latest is the latest observation of ds; false when there is none.
func (s *State) Latest(ds twin.DatastreamID) (twin.Observation, bool) {
	pages := *s.pages.Load()
	if ds <= 0 || ds>>pageBits >= twin.DatastreamID(len(pages)) {
		return twin.Observation{}, false
	}
	p := pages[ds>>pageBits].Load()
	if p == nil {
		return twin.Observation{}, false
	}
	i := uint8(ds % pageSize)
	p.mu.Lock()
	v := p.slots[i]
	text := ""
	if v.kind == kindText {
		text = p.texts[i]
	}
	p.mu.Unlock()
	return v.observation(ds, text), v.kind != kindNone
}

func (v *slot) observation(ds twin.DatastreamID, text string) twin.Observation {
	if v.kind == kindNone {
		return twin.Observation{}
	}
	return twin.Observation{Datastream: ds, PhenomenonNs: v.phenomenonNs, ResultNs: v.resultNs, Value: v.value, Text: text, IsText: v.kind == kindText, Quality: v.quality}
}

// Each calls fn with the latest observation of every Datastream that has one,
// in ascending order, until fn returns false. fn runs without a lock and may
// take its time; rows applied meanwhile are seen in part.
func (s *State) Each(fn func(twin.Observation) bool) {
	var slots [pageSize]slot
	var texts [pageSize]string
	pages := *s.pages.Load()
	for no := range pages {
		p := pages[no].Load()
		if p == nil {
			continue
		}
		p.mu.Lock()
		slots = p.slots
		for i, t := range p.texts {
			texts[i] = t
		}
		p.mu.Unlock()
		for i := range slots {
			v := &slots[i]
			if v.kind == kindNone {
				continue
			}
			text := ""
			if v.kind == kindText {
				text = texts[i]
			}
			if !fn(v.observation(twin.DatastreamID(no)<<pageBits|twin.DatastreamID(i), text)) {
				return
			}
		}
	}
}

// Position is the log position up to which s holds everything; it may hold
// some of what comes after.
func (s *State) Position() twin.Position { return *s.position.Load() }

// Len is the number of Datastreams that have an observation.
func (s *State) Len() int { return int(s.count.Load()) }

// Ignored is the number of rows that were left out because no registry gives
// their DatastreamID. It is zero in a sound system.
func (s *State) Ignored() int64 { return s.ignored.Load() }

// Package streamtest gives tests of the stream packages a city in memory: a
// log, a latest state, a directory and a gate that behave as their contracts
// say. It is for tests alone. All types are safe for concurrent use.
package streamtest

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"cityhub/streams"
	"cityhub/twin"
	"cityhub/twin/block"
)

// Epoch of a Log.
const Epoch = "e1"

// Log is a log in memory; record n has offset n.
type Log struct {
	mu      sync.Mutex
	records [][]twin.Observation
	grown   chan struct{}
	first   int
}

// Trim makes the log forget its first n records: nobody can begin before them.
func (l *Log) Trim(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first = n
}

func (l *Log) trimmed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// NewLog is an empty log.
func NewLog() *Log { return &Log{grown: make(chan struct{})} }

// Append adds one record and gives its position.
func (l *Log) Append(obs ...twin.Observation) twin.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, obs)
	close(l.grown)
	l.grown = make(chan struct{})
	return twin.Position{Epoch: Epoch, Offset: uint64(len(l.records))}
}

// Records are all records so far; record i has offset i+1.
func (l *Log) Records() [][]twin.Observation {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.records)
}

// Tail implements streams.Source: each record is a batch.
func (l *Log) Tail(ctx context.Context, after twin.Position, maxRows int, fn streams.GroupFunc) error {
	next := int(after.Offset)
	if after.Offset != 0 && after.Epoch != Epoch || next > len(l.Records()) || next < l.trimmed() {
		return &twin.Error{Code: twin.CodeConflict, Op: "tail", Field: "position", Message: "position is not in the log"}
	}
	for {
		l.mu.Lock()
		records, grown := l.records, l.grown
		l.mu.Unlock()
		if next == len(records) {
			select {
			case <-grown:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		var batches []*block.Batch
		for rows := 0; next < len(records) && (len(batches) == 0 || rows+len(records[next]) <= maxRows); next++ {
			b := new(block.Batch)
			b.Reset("320508", twin.DomainEnvironment)
			for _, o := range records[next] {
				b.Append(o)
			}
			rows += b.Len()
			batches = append(batches, b)
		}
		if err := fn(ctx, batches, twin.Position{Epoch: Epoch, Offset: uint64(next)}); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// State is a latest state.
type State struct {
	mu     sync.RWMutex
	latest map[twin.DatastreamID]twin.Observation
	pos    twin.Position
}

// NewState is an empty state.
func NewState() *State { return &State{latest: make(map[twin.DatastreamID]twin.Observation)} }

// Apply implements streams.State.
func (s *State) Apply(batches []*block.Batch, pos twin.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range batches {
		for i := range b.Len() {
			s.set(b.Row(i))
		}
	}
	s.pos = pos
}

func (s *State) set(o twin.Observation) {
	if old, ok := s.latest[o.Datastream]; !ok || o.PhenomenonNs >= old.PhenomenonNs {
		s.latest[o.Datastream] = o
	}
}

// Seed puts observations in as of a position.
func (s *State) Seed(pos twin.Position, obs ...twin.Observation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range obs {
		s.set(o)
	}
	s.pos = pos
}

// Latest implements streams.State.
func (s *State) Latest(id twin.DatastreamID) (twin.Observation, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, ok := s.latest[id]
	return o, ok
}

// Each implements streams.State.
func (s *State) Each(fn func(twin.Observation) bool) {
	s.mu.RLock()
	ids := slices.Sorted(maps.Keys(s.latest))
	s.mu.RUnlock()
	for _, id := range ids {
		o, _ := s.Latest(id)
		if !fn(o) {
			return
		}
	}
}

// Position implements streams.State.
func (s *State) Position() twin.Position {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.pos
}

// Directory knows Datastreams and which Datasets are open.
type Directory struct {
	mu      sync.RWMutex
	byID    map[twin.DatastreamID]*twin.Datastream
	open    map[twin.DatasetID]bool
	version int
	err     error
}

// NewDirectory is an empty directory.
func NewDirectory() *Directory {
	return &Directory{byID: make(map[twin.DatastreamID]*twin.Datastream), open: make(map[twin.DatasetID]bool)}
}

// Put stores a copy of ds.
func (d *Directory) Put(ds twin.Datastream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.byID[ds.ID] = &ds
}

// Delete forgets a Datastream.
func (d *Directory) Delete(id twin.DatastreamID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.byID, id)
}

// Fail makes every lookup fail with err; nil ends that.
func (d *Directory) Fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// SetOpen opens or closes a Dataset to the public.
func (d *Directory) SetOpen(id twin.DatasetID, open bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[id] = open
	d.version++
}

// Datastream implements streams.Directory.
func (d *Directory) Datastream(_ context.Context, id twin.DatastreamID) (*twin.Datastream, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.err != nil {
		return nil, d.err
	}
	if ds := d.byID[id]; ds != nil {
		return ds, nil
	}
	return nil, &twin.Error{Code: twin.CodeNotFound, Op: "datastream", Message: "no such Datastream"}
}

// Gate gives Views as they are at the moment of asking: the public sees open
// Datasets, the bearer of a token everything. It implements
// streams.Authenticator.
type Gate struct {
	Directory *Directory

	mu     sync.Mutex
	tokens map[string]bool
}

// Grant makes a token valid or invalid.
func (g *Gate) Grant(token string, valid bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tokens == nil {
		g.tokens = make(map[string]bool)
	}
	g.tokens[token] = valid
}

// View implements streams.Authenticator.
func (g *Gate) View(_ context.Context, token string) (streams.View, string, error) {
	g.mu.Lock()
	valid := g.tokens[token]
	g.mu.Unlock()
	switch {
	case token == "":
		g.Directory.mu.RLock()
		defer g.Directory.mu.RUnlock()
		return View{Name: fmt.Sprintf("public %d", g.Directory.version), Open: maps.Clone(g.Directory.open)}, "public", nil
	case valid:
		return View{Name: "admin", All: true}, "admin", nil
	}
	return nil, "", &twin.Error{Code: twin.CodeUnauthorized, Op: "authenticate", Message: "the token is unknown or has expired"}
}

// View sees everything or the open Datasets.
type View struct {
	Name  string
	All   bool
	Open  map[twin.DatasetID]bool
	Until time.Time // when it ends by itself; zero: never
}

// SeesDataset implements streams.DatasetView; the code of Dataset 7 is set-7.
func (v View) SeesDataset(code string) bool {
	n, err := strconv.ParseInt(strings.TrimPrefix(code, "set-"), 10, 64)
	return v.All || err == nil && v.Open[twin.DatasetID(n)]
}

// Expires implements streams.Expiring.
func (v View) Expires() time.Time { return v.Until }

// Key implements streams.View.
func (v View) Key() string { return v.Name }

// Sees implements streams.View.
func (v View) Sees(ds *twin.Datastream) bool { return v.All || v.Open[ds.Dataset] }

// Datastream is a plain measurement.
func Datastream(id twin.DatastreamID, property string, dataset twin.DatasetID, lon, lat float64) twin.Datastream {
	return twin.Datastream{
		ID: id, Thing: twin.ThingID(id), Terminal: fmt.Sprintf("gusu-%04d", id), ThingName: fmt.Sprintf("站点 %d", id), ThingNameEn: fmt.Sprintf("Station %d", id),
		PropertyName: property, Dataset: dataset, Domain: twin.DomainEnvironment, Result: twin.ResultMeasurement,
		Unit: twin.Unit{Name: "microgram per cubic metre", Symbol: "µg/m³", Code: "ug/m3"}, Lon: lon, Lat: lat, Simulated: true,
	}
}

// Nowhere is the coordinate of a Datastream without a Location.
func Nowhere() float64 { return math.NaN() }

// Reading is a numeric observation.
func Reading(id twin.DatastreamID, ms int64, v float64) twin.Observation {
	return twin.Observation{Datastream: id, PhenomenonNs: ms * 1e6, ResultNs: ms * 1e6, Value: v, Quality: twin.QualityNotEvaluated}
}

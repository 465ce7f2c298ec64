// Package ingesttest helps tests of the ingest path: a registry with a few
// terminals, and a log in memory that can be made to fail.
package ingesttest

import (
	"context"
	"strings"
	"sync"
	"testing"

	"cityhub/twin"
	"cityhub/twin/block"
	"cityhub/twin/registry"
	"cityhub/twin/registry/manifest"
)

const terminals = `
datasets:
  - {code: test, title: 测试, owner: 测试局, open: unconditional}
properties:
  - {name: pm25, title: 细颗粒物, unit: ug/m3}
  - {name: pm10, title: 可吸入颗粒物, unit: ug/m3}
  - {name: wd, title: 风向, type: text}
  - {name: count, title: 人数, type: count}
  - {name: open, title: 井盖开启, type: truth}
  - {name: level, title: 水位, unit: m}
terminals:
  - {code: air-1, name: 空气站, domain: environment, district: gusu, dataset: test, properties: [pm25, pm10, wd, count, open]}
  - {code: level-1, name: 水位站, domain: emergency, district: gusu, dataset: test, properties: [level]}
  - {code: old-1, name: 旧站, domain: environment, state: retired, dataset: test, properties: [pm25]}
  - {code: locked-1, name: 加密站, domain: environment, dataset: test, properties: [pm25], credentials: {username: locked, password: secret}}
`

// Registry is a registry in memory with the terminals air-1 (pm25, pm10, wd,
// count, open), level-1 (level), old-1, which is retired, and locked-1, whose
// user is locked and password secret. It is closed at the end of the test.
func Registry(t testing.TB) *registry.Registry {
	t.Helper()
	r, err := registry.Open(context.Background(), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	m, err := manifest.ParseYAML("terminals.yaml", strings.NewReader(terminals))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Import(context.Background(), m, registry.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	return r
}

// Log is an ingest.Appender in memory. The zero value works.
type Log struct {
	Discard bool // keep nothing

	mu      sync.Mutex
	offset  uint64
	fail    error
	batches []*block.Batch
	rejects []twin.Reject
}

// Append keeps a copy of what it is given, unless Fail says otherwise.
func (l *Log) Append(_ context.Context, batches []*block.Batch, rejects []twin.Reject) (twin.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return twin.Position{}, l.fail
	}
	l.offset++
	if !l.Discard {
		for _, b := range batches {
			c := &block.Batch{}
			c.Reset(b.District, b.Domain)
			for i := range b.Len() {
				c.AppendRow(b, i)
			}
			l.batches = append(l.batches, c)
		}
		l.rejects = append(l.rejects, rejects...)
	}
	return twin.Position{Epoch: "test", Offset: l.offset}, nil
}

// Fail makes Append fail with err; nil makes it work again.
func (l *Log) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}

// Observations are all rows appended so far, in order.
func (l *Log) Observations() []twin.Observation {
	var all []twin.Observation
	for _, b := range l.Batches() {
		for i := range b.Len() {
			all = append(all, b.Row(i))
		}
	}
	return all
}

// Batches are the batches appended so far.
func (l *Log) Batches() []*block.Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*block.Batch(nil), l.batches...)
}

// Rejects are the rejects appended so far.
func (l *Log) Rejects() []twin.Reject {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]twin.Reject(nil), l.rejects...)
}

package pebble

import (
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// MergerName is written into the store by Pebble, which refuses to open it
// with another one: the name, and with it what merging means, is part of the
// on-disk format. A change of meaning needs a new name and a new format version.
const MergerName = "cityhub.series.1"

// NewMerger is the Pebble merge operator of the store, for tools that open it
// themselves. On a latest key the greater phenomenon time wins and the later
// write wins on a tie; on an index key the hours are united. So both are
// written without being read first.
func NewMerger() *pebble.Merger {
	return &pebble.Merger{
		Name: MergerName,
		Merge: func(key, value []byte) (pebble.ValueMerger, error) {
			if len(key) == 0 {
				return nil, corrupt("merge", "empty key")
			}
			switch key[0] {
			case prefixLatest:
				m := &latestMerger{}
				m.value = m.small[:0]
				return m, m.take(value)
			case prefixIndex:
				m := &maskMerger{}
				return m, m.or(value)
			}
			return nil, corrupt("merge", "a key that is never merged")
		},
	}
}

// latestMerger keeps the greatest phenomenon time. A number fits into small,
// which saves an allocation for each datastream when all are read at start.
type latestMerger struct {
	value []byte
	small [32]byte
}

func (m *latestMerger) take(v []byte) error {
	if len(v) < 8 {
		return corrupt("merge", "latest value too short")
	}
	m.value = append(m.value[:0], v...)
	return nil
}

func (m *latestMerger) MergeNewer(v []byte) error {
	if len(v) >= 8 && latestTime(v) < latestTime(m.value) {
		return nil
	}
	return m.take(v)
}

func (m *latestMerger) MergeOlder(v []byte) error {
	if len(v) >= 8 && latestTime(v) <= latestTime(m.value) {
		return nil
	}
	return m.take(v)
}

func (m *latestMerger) Finish(bool) ([]byte, io.Closer, error) { return m.value, nil, nil }

// maskMerger unites hour masks; the order does not matter.
type maskMerger struct{ mask [maskLen]byte }

func (m *maskMerger) or(v []byte) error {
	if len(v) != maskLen {
		return corrupt("merge", "index value of a wrong length")
	}
	for i := range m.mask {
		m.mask[i] |= v[i]
	}
	return nil
}

func (m *maskMerger) MergeNewer(v []byte) error              { return m.or(v) }
func (m *maskMerger) MergeOlder(v []byte) error              { return m.or(v) }
func (m *maskMerger) Finish(bool) ([]byte, io.Closer, error) { return m.mask[:], nil, nil }

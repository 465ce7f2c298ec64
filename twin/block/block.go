// Package block is the binary batch of observations that travels in the log:
// columnar, versioned, checked (see FORMAT.md).
//
// A Batch belongs to one goroutine at a time. Its columns keep their capacity
// over Reset, so that a Batch that is used again allocates nothing.
package block

import (
	"cityhub/twin"
)

// Batch is a set of observations of one district and one domain, by column.
// Row i is the i-th element of every column; all columns have equal length.
type Batch struct {
	District string
	Domain   twin.Domain

	Datastreams  []twin.DatastreamID
	PhenomenonNs []int64 // ns since 1970-01-01 UTC
	ResultNs     []int64 // ns since 1970-01-01 UTC
	Values       []float64
	// TextRefs is 0 for a numeric row, else 1 + the index of its text in Texts.
	TextRefs  []uint32
	Qualities []twin.Quality

	// Texts is the dictionary of the text results.
	Texts []string

	textIndex map[string]uint32
}

// Len is the number of rows.
func (b *Batch) Len() int { return len(b.Datastreams) }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset(district string, domain twin.Domain) {
	b.District, b.Domain = district, domain
	b.Datastreams = b.Datastreams[:0]
	b.PhenomenonNs = b.PhenomenonNs[:0]
	b.ResultNs = b.ResultNs[:0]
	b.Values = b.Values[:0]
	b.TextRefs = b.TextRefs[:0]
	b.Qualities = b.Qualities[:0]
	clear(b.Texts)
	b.Texts = b.Texts[:0]
	clear(b.textIndex)
}

// AppendNumber adds a numeric row.
func (b *Batch) AppendNumber(ds twin.DatastreamID, phenomenonNs, resultNs int64, value float64, q twin.Quality) {
	b.Datastreams = append(b.Datastreams, ds)
	b.PhenomenonNs = append(b.PhenomenonNs, phenomenonNs)
	b.ResultNs = append(b.ResultNs, resultNs)
	b.Values = append(b.Values, value)
	b.TextRefs = append(b.TextRefs, 0)
	b.Qualities = append(b.Qualities, q)
}

// AppendText adds a text row.
func (b *Batch) AppendText(ds twin.DatastreamID, phenomenonNs, resultNs int64, text string, q twin.Quality) {
	b.AppendTextBytes(ds, phenomenonNs, resultNs, []byte(text), q)
}

// AppendTextBytes adds a text row and keeps no reference to text; a text that
// the dictionary already has costs no allocation.
func (b *Batch) AppendTextBytes(ds twin.DatastreamID, phenomenonNs, resultNs int64, text []byte, q twin.Quality) {
	ref, ok := b.textIndex[string(text)]
	if !ok {
		if b.textIndex == nil {
			b.textIndex = make(map[string]uint32)
		}
		b.Texts = append(b.Texts, string(text))
		ref = uint32(len(b.Texts))
		b.textIndex[b.Texts[ref-1]] = ref
	}
	b.AppendNumber(ds, phenomenonNs, resultNs, 0, q)
	b.TextRefs[len(b.TextRefs)-1] = ref
}

// Append adds o as a row.
func (b *Batch) Append(o twin.Observation) {
	if o.IsText {
		b.AppendText(o.Datastream, o.PhenomenonNs, o.ResultNs, o.Text, o.Quality)
		return
	}
	b.AppendNumber(o.Datastream, o.PhenomenonNs, o.ResultNs, o.Value, o.Quality)
}

// AppendRow adds row i of src.
func (b *Batch) AppendRow(src *Batch, i int) {
	if ref := src.TextRefs[i]; ref != 0 {
		b.AppendText(src.Datastreams[i], src.PhenomenonNs[i], src.ResultNs[i], src.Texts[ref-1], src.Qualities[i])
		return
	}
	b.AppendNumber(src.Datastreams[i], src.PhenomenonNs[i], src.ResultNs[i], src.Values[i], src.Qualities[i])
}

// Row gives row i as an Observation.
func (b *Batch) Row(i int) twin.Observation {
	o := twin.Observation{
		Datastream:   b.Datastreams[i],
		PhenomenonNs: b.PhenomenonNs[i],
		ResultNs:     b.ResultNs[i],
		Value:        b.Values[i],
		Quality:      b.Qualities[i],
	}
	if ref := b.TextRefs[i]; ref != 0 {
		o.Text, o.IsText, o.Value = b.Texts[ref-1], true, 0
	}
	return o
}

package log

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"cityhub/twin"
	"cityhub/twin/block"
)

const (
	opAppend = "append to log"

	maxRowsPerRecord    = 1 << 16
	maxRejectsPerRecord = 1 << cursorBits // see rejects.go
	clippedText         = 1024            // bytes kept of an absurdly long text of a reject
	maxSubjects         = 4096
)

// group is what one Append stores: its records, encoded, with their ids.
type group struct {
	records []record
	buf     []byte // the records' data, one after the other
	rows    int
	split   block.Batch // scratch for batches that are split
	subject map[subjectKey]string

	id       uint64
	epochs   [2]string // of OBS and REJECT when it was first tried
	afterObs uint64    // no record of the group has a sequence up to here
	afterRej uint64
}

type record struct {
	subject string
	id      string // Nats-Msg-Id
	off     int    // of data in the group's buffer
	data    []byte
	reject  bool
	follows bool   // it goes on with the batch of the record before
	seq     uint64 // zero: not known to be stored
	future  jetstream.PubAckFuture
}

type subjectKey struct {
	district string
	domain   twin.Domain
}

func (g *group) reset() {
	clear(g.records)
	g.records = g.records[:0]
	if cap(g.buf) > 16<<20 {
		g.buf = nil
	}
	g.buf, g.rows, g.id = g.buf[:0], 0, 0
}

func (g *group) after(reject bool) uint64 {
	if reject {
		return g.afterRej
	}
	return g.afterObs
}

func messageID(base string, group uint64, i int) string {
	b := make([]byte, 0, len(base)+24)
	b = append(append(b, base...), '-')
	b = append(strconv.AppendUint(b, group, 36), '-')
	return string(strconv.AppendInt(b, int64(i), 36))
}

// digest identifies the content of the group, for finding what a failed try
// stored of it.
func (g *group) digest() [sha256.Size]byte {
	h := sha256.New()
	var n [8]byte
	for i := range g.records {
		r := &g.records[i]
		h.Write([]byte(r.subject))
		binary.LittleEndian.PutUint64(n[:], uint64(len(r.data)))
		h.Write(n[:])
		h.Write(r.data)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// encode fills g with the records of a group.
func (l *Log) encode(g *group, batches []*block.Batch, rejects []twin.Reject) error {
	g.reset()
	for _, b := range batches {
		if b == nil || b.Len() == 0 {
			continue
		}
		g.rows += b.Len()
		if err := l.encodeBatch(g, l.subject(g, b.District, b.Domain), b, 0, b.Len()); err != nil {
			return err
		}
	}
	if err := l.encodeRejects(g, rejects); err != nil {
		return err
	}
	for i := range g.records { // the buffer no longer moves
		end := len(g.buf)
		if i+1 < len(g.records) {
			end = g.records[i+1].off
		}
		g.records[i].data = g.buf[g.records[i].off:end:end]
	}
	return nil
}

// encodeBatch encodes the rows from up to, not including, to; in halves when
// they are too much for one record.
func (l *Log) encodeBatch(g *group, subject string, b *block.Batch, from, to int) error {
	part := b
	if to-from < b.Len() {
		part = &g.split
		part.Reset(b.District, b.Domain)
		for i := from; i < to; i++ {
			part.AppendRow(b, i)
		}
	}
	if part.Len() <= maxRowsPerRecord && (part == &g.split || len(b.Texts) <= block.MaxTexts) {
		off := len(g.buf)
		buf, err := part.AppendEncoded(g.buf)
		if err != nil {
			return err
		}
		if len(buf)-off <= l.o.MaxRecordBytes {
			g.buf = buf
			g.records = append(g.records, record{subject: subject, off: off, follows: from > 0})
			return nil
		}
		if to-from == 1 {
			return &twin.Error{Code: twin.CodeTooLarge, Op: opAppend, Message: "one observation does not fit a record", Hint: "raise log.maxRecordBytes"}
		}
	}
	mid := from + (to-from)/2
	if err := l.encodeBatch(g, subject, b, from, mid); err != nil {
		return err
	}
	return l.encodeBatch(g, subject, b, mid, to)
}

// encodeRejects packs the rejects into JSON arrays.
func (l *Log) encodeRejects(g *group, rejects []twin.Reject) error {
	_, _, _, subject := l.o.names()
	n := 0 // rejects in the open array
	for i := range rejects {
		data, err := encodeReject(&rejects[i], l.o.MaxRecordBytes-2)
		if err != nil {
			return err
		}
		if n > 0 && (n == maxRejectsPerRecord || len(g.buf)-g.records[len(g.records)-1].off+len(data)+2 > l.o.MaxRecordBytes) {
			g.buf = append(g.buf, ']')
			n = 0
		}
		if n == 0 {
			g.records = append(g.records, record{subject: subject, off: len(g.buf), reject: true})
			g.buf = append(g.buf, '[')
		} else {
			g.buf = append(g.buf, ',')
		}
		g.buf = append(g.buf, data...)
		n++
	}
	if n > 0 {
		g.buf = append(g.buf, ']')
	}
	return nil
}

// encodeReject never refuses a reject for its size: a refusal that cannot be
// recorded would hold up the group for ever.
func encodeReject(r *twin.Reject, limit int) ([]byte, error) {
	c := *r
	c.Payload = c.Payload[:min(len(c.Payload), twin.MaxRejectPayload)]
	data, err := json.Marshal(&c)
	if err == nil && len(data) > limit {
		for _, s := range []*string{&c.Source, &c.Client, &c.Terminal, &c.Topic, &c.Property, &c.Detail} {
			*s = (*s)[:min(len(*s), clippedText)]
		}
		data, err = json.Marshal(&c)
	}
	if err != nil {
		return nil, &twin.Error{Code: twin.CodeInternal, Op: opAppend, Message: "a reject cannot be encoded", Err: err}
	}
	return data, nil
}

// subject is root.{district}.{domain}. The names stand in the record itself;
// the subject is only for choosing records by it.
func (l *Log) subject(g *group, district string, domain twin.Domain) string {
	k := subjectKey{district, domain}
	s, ok := g.subject[k]
	if !ok {
		if g.subject == nil || len(g.subject) >= maxSubjects {
			g.subject = make(map[subjectKey]string)
		}
		_, _, root, _ := l.o.names()
		s = root + "." + token(district) + "." + token(string(domain))
		g.subject[subjectKey{strings.Clone(district), twin.Domain(strings.Clone(string(domain)))}] = s
	}
	return s
}

// token makes one element of a subject: - for what NATS gives a meaning, or
// may not hold.
func token(s string) string {
	if s == "" {
		return "_"
	}
	return strings.Map(func(r rune) rune {
		if nameRune(r) || r > 0x9f && r != 0xfffd && r != 0x2028 && r != 0x2029 {
			return r
		}
		return '-'
	}, s)
}

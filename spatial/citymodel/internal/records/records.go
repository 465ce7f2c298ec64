// Package records splits a sequence of JSON texts into its records: lines, or
// the texts of RFC 8142, which begin with the character RS (0x1E). A record is
// held in memory as a whole; its length is bounded. A Reader is for one
// goroutine.
package records

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/faults"
	"cityhub/spatial/citymodel/internal/jsonscan"
)

const rs = 0x1e

// Reader gives record after record.
type Reader struct {
	Record []byte // without RS; valid until the next call of Next
	Line   int    // where Record begins, from 1
	Offset int64  // where Record begins, bytes

	br    *bufio.Reader
	limit int
	end   byte // '\n' or RS; zero: not known yet
	line  int
	read  int64
}

// New gives a Reader of r whose records have no more than limit bytes.
func New(r io.Reader, limit int) *Reader {
	return &Reader{br: bufio.NewReaderSize(r, 64<<10), limit: limit, line: 1}
}

// Next reads the next record that is not blank; false at the end.
func (q *Reader) Next() (bool, error) {
	if q.end == 0 {
		q.begin()
	}
	for {
		q.Record, q.Line, q.Offset = q.Record[:0], q.line, q.read
		err := bufio.ErrBufferFull
		for err == bufio.ErrBufferFull {
			var part []byte
			part, err = q.br.ReadSlice(q.end)
			q.read += int64(len(part))
			q.line += bytes.Count(part, []byte{'\n'})
			if len(q.Record)+len(part) > q.limit {
				return false, &faults.Placed{Code: citymodel.TooLarge, Line: q.Line, Offset: q.Offset, Text: fmt.Sprintf("a record of more than %d bytes; raise Limits.RecordBytes if it is meant to be that long", q.limit)}
			}
			q.Record = append(q.Record, part...)
		}
		if err != nil && err != io.EOF {
			return false, &jsonscan.Error{Kind: jsonscan.Read, Line: q.Line, Offset: q.read, Message: "cannot be read: " + err.Error(), Err: err}
		}
		if n := len(q.Record); q.end == rs && n > 0 && q.Record[n-1] == rs {
			q.Record = q.Record[:n-1]
		}
		if len(bytes.TrimSpace(q.Record)) > 0 {
			return true, nil
		}
		if err == io.EOF {
			return false, nil
		}
	}
}

// begin passes a byte order mark and finds out what ends a record.
func (q *Reader) begin() {
	if b, _ := q.br.Peek(3); string(b) == "\ufeff" {
		n, _ := q.br.Discard(3)
		q.read += int64(n)
	}
	q.end = '\n'
	if b, _ := q.br.Peek(1); len(b) == 1 && b[0] == rs {
		q.end = rs
	}
}

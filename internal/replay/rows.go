package replay

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"cityhub/twin"
)

// rows reads one data file row by row. After next, the fields below it hold
// the row; they are valid until the following next.
type rows struct {
	s    *Source
	file dataFile

	code     string // of the terminal
	ms       int64  // time of observation, ms since 1970-01-01 UTC
	has      uint64 // bit i: property i has a value
	readings []byte // ,"name":value for each of them

	f      *os.File
	csv    *csv.Reader
	header []string
	rec    []string
	props  []int // column of each property
	when   []int // column or columns of the time
	keys   []int // columns that the terminal's code depends on
	key    []byte
	codes  map[string]string
	na     []string

	codeOnly bool // next leaves has and readings empty
}

// open opens file i and reads its header.
func (s *Source) open(i int) (_ *rows, err error) {
	m, file := s.m, s.files[i]
	r := &rows{s: s, file: file, codes: map[string]string{}, na: m.NA}
	if r.f, err = os.Open(file.path); err != nil {
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "open data", Field: file.path, Message: "cannot be opened", Err: err}
	}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	in := bufio.NewReaderSize(r.f, 64<<10)
	var text io.Reader = in
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		if text, err = gzip.NewReader(in); err != nil {
			return nil, csvError(file.path, err)
		}
	}
	r.csv = csv.NewReader(skipBOM(text))
	r.csv.ReuseRecord = true
	r.csv.Comma = rune(m.Files.Delimiter[0])
	header, err := r.csv.Read()
	if err != nil {
		return nil, csvError(file.path, err)
	}
	r.header = slices.Clone(header)
	column := func(name string) int {
		c := slices.Index(r.header, name)
		if c < 0 && err == nil {
			err = noColumn(file.path, name, r.header)
		}
		return c
	}
	for _, p := range m.Properties {
		r.props = append(r.props, column(p.Column))
	}
	if c := m.Time.Columns; c.Year != "" {
		for _, name := range []string{c.Year, c.Month, c.Day, c.Hour, c.Minute, c.Second} {
			if name == "" {
				r.when = append(r.when, -1)
				continue
			}
			r.when = append(r.when, column(name))
		}
	} else {
		r.when = []int{column(m.Time.Column)}
	}
	for _, name := range m.columns(m.code) {
		r.keys = append(r.keys, column(name))
	}
	return r, err
}

func skipBOM(r io.Reader) io.Reader {
	b := bufio.NewReaderSize(r, 64<<10)
	if head, _ := b.Peek(3); bytes.Equal(head, []byte("\xef\xbb\xbf")) {
		_, _ = b.Discard(3)
	}
	return b
}

func (r *rows) close() { _ = r.f.Close() }

// next reads a row; io.EOF after the last.
func (r *rows) next() (err error) {
	if r.rec, err = r.csv.Read(); err != nil {
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		return csvError(r.file.path, err)
	}
	if r.ms, err = r.time(); err != nil {
		return err
	}
	if r.code, err = r.terminal(); err != nil {
		return err
	}
	r.has, r.readings = 0, r.readings[:0]
	if r.codeOnly {
		return nil
	}
	for i := range r.s.m.Properties {
		v := strings.TrimSpace(r.rec[r.props[i]])
		if slices.Contains(r.na, v) {
			continue
		}
		p := &r.s.m.Properties[i]
		r.readings = append(r.readings, p.key...)
		var ok bool
		if r.readings, ok = appendValue(r.readings, p.kind, v); !ok {
			return r.bad(r.props[i], fmt.Sprintf("%q is no %s", v, p.Type), "list it under na in the mapping if it means that there is no value")
		}
		r.has |= 1 << i
	}
	return nil
}

func (r *rows) bad(column int, message, hint string) error {
	line, _ := r.csv.FieldPos(column)
	return &twin.Error{Code: twin.CodeInvalid, Op: "read " + r.file.path, Field: fmt.Sprintf("line %d, column %s", line, r.header[column]), Message: message, Hint: hint}
}

func (r *rows) time() (int64, error) {
	m := r.s.m
	if len(r.when) == 1 {
		v := strings.TrimSpace(r.rec[r.when[0]])
		switch m.Time.Layout {
		case "unix-s", "unix-ms":
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n > 1<<52 || n < -1<<52 {
				return 0, r.bad(r.when[0], fmt.Sprintf("%q is not a time in the layout %s", v, m.Time.Layout), "")
			}
			if m.Time.Layout == "unix-s" {
				n *= 1000
			}
			return n, nil
		}
		t, err := time.ParseInLocation(m.Time.Layout, v, m.zone)
		if err != nil {
			return 0, r.bad(r.when[0], fmt.Sprintf("%q is not a time in the layout %s", v, m.Time.Layout), "time.layout of the mapping says how it is written")
		}
		return t.UnixMilli(), nil
	}
	var n [6]int
	limits := [6][2]int{{1, 9999}, {1, 12}, {1, 31}, {0, 23}, {0, 59}, {0, 59}}
	for i, c := range r.when {
		if c < 0 {
			continue
		}
		v, err := strconv.Atoi(strings.TrimSpace(r.rec[c]))
		if err != nil || v < limits[i][0] || v > limits[i][1] {
			return 0, r.bad(c, fmt.Sprintf("%q is not between %d and %d", r.rec[c], limits[i][0], limits[i][1]), "")
		}
		n[i] = v
	}
	t := time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], 0, m.zone)
	if t.Day() != n[2] {
		return 0, r.bad(r.when[2], fmt.Sprintf("%04d-%02d has no day %d", n[0], n[1], n[2]), "")
	}
	return t.UnixMilli(), nil
}

// terminal gives the row's terminal code. It is looked up by the columns it
// depends on, so that a template is expanded once per terminal and file.
func (r *rows) terminal() (string, error) {
	r.key = r.key[:0]
	for _, c := range r.keys {
		r.key = append(append(r.key, r.rec[c]...), 0)
	}
	if code, ok := r.codes[string(r.key)]; ok {
		return code, nil
	}
	code, err := r.expand(r.s.m.code)
	if err != nil {
		return "", err
	}
	if !validCode(code) {
		line, _ := r.csv.FieldPos(0)
		return "", &twin.Error{Code: twin.CodeInvalid, Op: "read " + r.file.path, Field: fmt.Sprintf("line %d", line), Message: fmt.Sprintf("terminal.code becomes %q, which is no code", code), Hint: "1 to 64 of A–Z a–z 0–9 . _ -"}
	}
	r.codes[string(r.key)] = code
	return code, nil
}

func validCode(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// expand fills a template with the values of the row, the file and the joins.
func (r *rows) expand(t template) (string, error) {
	var b strings.Builder
	for _, p := range t {
		v := p.text
		switch p.from {
		case fromRow:
			c := slices.Index(r.header, p.name)
			if c < 0 {
				return "", noColumn(r.file.path, p.name, r.header)
			}
			v = r.rec[c]
		case fromFile:
			v = r.file.groups[p.name]
		case fromJoin:
			var err error
			if v, err = r.joined(p); err != nil {
				return "", err
			}
		}
		if p.lower {
			v = strings.ToLower(v)
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

func (r *rows) joined(p part) (string, error) {
	for _, j := range r.s.m.Join {
		if j.Name != p.join {
			continue
		}
		kt, err := r.s.m.template("join.key", j.Key, r.s.m.joinsBefore(j.Name), true)
		if err != nil {
			return "", err
		}
		key, err := r.expand(kt)
		if err != nil {
			return "", err
		}
		line, _ := r.csv.FieldPos(0)
		row, ok := r.s.joins[j.Name][key]
		if !ok {
			return "", &twin.Error{Code: twin.CodeInvalid, Op: "read " + r.file.path, Field: fmt.Sprintf("line %d", line), Message: fmt.Sprintf("join %s has no entry %q", j.Name, key)}
		}
		v, ok := row[p.name]
		if !ok {
			return "", &twin.Error{Code: twin.CodeInvalid, Op: "load mapping " + r.s.m.path, Field: "join " + j.Name, Message: fmt.Sprintf("the entry %q has no %q", key, p.name)}
		}
		return v, nil
	}
	return "", nil // checked when the mapping was loaded
}

// values is the number of values in the row.
func (r *rows) values() int { return bits.OnesCount64(r.has) }

// appendValue appends v as JSON. A number keeps the digits of the file.
func appendValue(b []byte, k kind, v string) ([]byte, bool) {
	switch k {
	case kindText:
		if !utf8.ValidString(v) {
			return b, false
		}
		q, err := json.Marshal(v)
		return append(b, q...), err == nil
	case kindTruth:
		switch strings.ToLower(v) {
		case "true", "1", "yes":
			return append(b, "true"...), true
		case "false", "0", "no":
			return append(b, "false"...), true
		}
		return b, false
	}
	if plainNumber(v) {
		if k == kindCount && strings.IndexByte(v, '.') >= 0 {
			if f, _ := strconv.ParseFloat(v, 64); f != math.Trunc(f) {
				return b, false
			}
			v, _, _ = strings.Cut(v, ".")
		}
		return append(b, v...), true
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || strings.ContainsAny(v, "xXpP_") || k == kindCount && (f != math.Trunc(f) || math.Abs(f) >= 1<<53) {
		return b, false
	}
	format := byte('g')
	if k == kindCount {
		format = 'f' // 1e3 is the whole number 1000
	}
	return strconv.AppendFloat(b, f, format, -1, 64), true
}

// plainNumber reports whether v is a JSON number without an exponent, short
// enough that float64 can hold it.
func plainNumber(v string) bool {
	s := strings.TrimPrefix(v, "-")
	whole, frac, dot := strings.Cut(s, ".")
	if whole == "" || len(s) > 18 || (len(whole) > 1 && whole[0] == '0') || (dot && frac == "") {
		return false
	}
	for i := 0; i < len(s); i++ {
		if (s[i] < '0' || s[i] > '9') && i != len(whole) {
			return false
		}
	}
	return true
}

package shapefile

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/charset"
	"cityhub/spatial/citymodel/internal/flat"
)

// table is a dBASE file. Records are read in their order.
type table struct {
	part     Part
	text     *charset.Decoder
	fields   []field
	records  int64
	header   int64
	length   int
	language byte
	memo     bool

	br   *bufio.Reader
	next int64
	buf  []byte
}

// field is a column.
type field struct {
	raw           []byte
	name          string
	typ           byte
	at, length    int
	decimals      int
	unknownOrMemo bool
}

func newTable(part Part, limits citymodel.Limits) (*table, error) {
	head := make([]byte, 32)
	src := bufio.NewReader(part.section(0))
	if _, err := io.ReadFull(src, head); err != nil {
		return nil, flat.Faultf(citymodel.Syntax, "the .dbf file has no header of 32 bytes: %v", err)
	}
	t := &table{
		part: part, records: int64(binary.LittleEndian.Uint32(head[4:])), header: int64(binary.LittleEndian.Uint16(head[8:])),
		length: int(binary.LittleEndian.Uint16(head[10:])), language: head[29],
	}
	if t.header < 33 || t.header > part.Size || t.length < 1 {
		return nil, flat.Faultf(citymodel.Syntax, "the .dbf file of %d bytes says that its header has %d and a record %d", part.Size, t.header, t.length)
	}
	t.records = min(t.records, (part.Size-t.header)/int64(t.length))
	at := 1 // behind the mark of deletion
	for read := int64(32); read+32 < t.header; read += 32 {
		d := make([]byte, 32)
		if _, err := io.ReadFull(src, d); err != nil {
			return nil, flat.Faultf(citymodel.Syntax, "the header of the .dbf file: %v", err)
		}
		if d[0] == 0x0d || d[0] == 0 {
			break
		}
		f := field{raw: d[:11], typ: d[11], at: at, length: int(d[16]), decimals: int(d[17])}
		if i := strings.IndexByte(string(f.raw), 0); i >= 0 {
			f.raw = f.raw[:i]
		}
		if f.typ == 'C' { // long texts have a second byte of length where numbers have decimals
			f.length += f.decimals << 8
		}
		if at += f.length; at > t.length {
			return nil, flat.Faultf(citymodel.Syntax, "field %q of the .dbf file ends at byte %d of records of %d bytes", f.raw, at, t.length)
		}
		t.fields = append(t.fields, f)
	}
	if len(t.fields) > limits.Attributes {
		return nil, flat.Faultf(citymodel.TooLarge, "%d fields; the limit is %d", len(t.fields), limits.Attributes)
	}
	t.buf = make([]byte, t.length)
	return t, nil
}

// nameFields gives the fields their names, when the encoding is known.
func (t *table) nameFields() {
	for i := range t.fields {
		f := &t.fields[i]
		f.name = strings.TrimSpace(t.text.Text(f.raw))
		if f.name == "" {
			f.name = "field " + strconv.Itoa(i+1)
		}
		switch f.typ {
		case 'M', 'G', 'P', 'W':
			f.unknownOrMemo, t.memo = true, true
		case 'B': // a memo in dBASE V, a number of 8 bytes in FoxPro
			f.unknownOrMemo = f.length != 8
			t.memo = t.memo || f.unknownOrMemo
		}
	}
	t.text.Guessed, t.text.Broken = false, 0
}

// read gives o the attributes of record i and reports whether it is deleted.
// Records beyond the table have none.
func (t *table) read(i int64, o *spatial.CityObject) (deleted bool, err error) {
	if i >= t.records {
		return false, nil
	}
	if t.br == nil || t.next != i {
		t.br = bufio.NewReaderSize(t.part.section(t.header+i*int64(t.length)), 64<<10)
	}
	if _, err := io.ReadFull(t.br, t.buf); err != nil {
		return false, fmt.Errorf(".dbf: %w", err)
	}
	t.next = i + 1
	if t.buf[0] == '*' {
		return true, nil
	}
	o.Attributes = make(spatial.Attributes, 0, len(t.fields))
	for k := range t.fields {
		f := &t.fields[k]
		if f.unknownOrMemo || f.typ == '0' { // 0 is FoxPro's own column of null flags
			continue
		}
		o.Attributes = append(o.Attributes, spatial.Attribute{Name: f.name, Value: t.value(f, t.buf[f.at:f.at+f.length])})
	}
	return false, nil
}

// value reads one field.
func (t *table) value(f *field, b []byte) spatial.Value {
	binaryNumber := func(size int) bool { return len(b) == size }
	switch f.typ {
	case 'I', '+':
		if binaryNumber(4) {
			return spatial.IntValue(int64(int32(binary.LittleEndian.Uint32(b))))
		}
	case 'O', 'B':
		if binaryNumber(8) {
			return number(math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
	case 'Y': // currency, in ten-thousandths
		if binaryNumber(8) {
			return number(float64(int64(binary.LittleEndian.Uint64(b))) / 10000)
		}
	case 'T', '@': // Julian day and milliseconds
		if binaryNumber(8) {
			return moment(binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]))
		}
	}
	text := strings.TrimRight(t.text.Text(b), " \x00")
	switch f.typ {
	case 'N', 'F':
		return decimal(strings.TrimSpace(text), f.decimals == 0)
	case 'D':
		text = strings.TrimSpace(text)
		if d, err := time.Parse("20060102", text); err == nil {
			return spatial.TextValue(d.Format("2006-01-02"))
		}
		if strings.Trim(text, "0") == "" {
			return spatial.NullValue()
		}
	case 'L':
		switch strings.TrimSpace(text) {
		case "T", "t", "Y", "y":
			return spatial.BoolValue(true)
		case "F", "f", "N", "n":
			return spatial.BoolValue(false)
		}
		return spatial.NullValue()
	}
	if text == "" {
		return spatial.NullValue()
	}
	return spatial.TextValue(text)
}

func number(f float64) spatial.Value {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return spatial.NullValue()
	}
	return spatial.FloatValue(f)
}

// decimal reads a number that is written out. Stars stand for one that was too
// long for its field.
func decimal(text string, whole bool) spatial.Value {
	if strings.Trim(text, "* \x00") == "" {
		return spatial.NullValue()
	}
	if whole {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return spatial.IntValue(n)
		}
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return number(f)
	}
	return spatial.TextValue(text)
}

// moment is a time without zone, as FoxPro has it.
func moment(day, milliseconds uint32) spatial.Value {
	const epoch = 2440588 // 1970-01-01
	if day == 0 || day > 6_000_000 || milliseconds >= 86_400_000 {
		return spatial.NullValue()
	}
	at := time.UnixMilli((int64(day)-epoch)*86_400_000 + int64(milliseconds)).UTC()
	return spatial.TextValue(at.Format("2006-01-02T15:04:05"))
}

// languageDriver is the encoding that byte 29 of the header stands for; empty
// where it says nothing that could be trusted: 87 is what programs write that
// care for no encoding.
func languageDriver(id string) string {
	return map[string]string{
		"1": "437", "2": "850", "3": "1252", "19": "932", "77": "936", "78": "949", "79": "950", "80": "874", "100": "852", "101": "866", "122": "936", "123": "932", "121": "949", "120": "950",
		"200": "1250", "201": "1251", "202": "1254", "203": "1253", "204": "1257",
	}[strings.TrimSpace(id)]
}

package block

import (
	"bytes"
	"flag"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"strings"
	"testing"

	"encoding/binary"

	"cityhub/twin"
)

var update = flag.Bool("update", false, "write the golden files anew: only together with a new version of the format")

// sample has every feature of the format.
func sample() *Batch {
	b := &Batch{}
	b.Reset("320508", twin.DomainEnvironment)
	const t = 1_790_000_000_000_000_000
	b.AppendNumber(12, t, t+1_500_000, 35.25, twin.QualityGood)
	b.AppendNumber(13, t, t+1_500_000, -0.1, twin.QualityGood)
	b.AppendNumber(7, t-3_600_000_000_000, t+2, math.NaN(), twin.QualityMissing)
	b.AppendText(1<<40, t+1, t-5, "闸门开启", twin.QualitySuspect)
	b.AppendText(1, t+1, t-5, "", twin.QualitySuspect)
	b.AppendText(2, math.MinInt64, math.MaxInt64, "闸门开启", twin.QualityBad)
	b.AppendNumber(math.MaxInt64, math.MaxInt64, math.MinInt64, math.Inf(-1), twin.QualityNotEvaluated)
	b.AppendNumber(1, 0, 0, math.MaxFloat64, twin.QualityGood)
	return b
}

func typical(n int) *Batch {
	b := &Batch{}
	b.Reset("320508", twin.DomainTransport)
	const t = 1_790_000_000_000_000_000
	for i := range n {
		b.AppendNumber(twin.DatastreamID(1000+i*7%500), t+int64(i)*50_000_000, t+int64(i)*50_000_000+1_234_567+int64(i%17)*1000, float64(i%400)/10, twin.QualityGood)
	}
	return b
}

func same(a, b *Batch) error {
	if a.District != b.District || a.Domain != b.Domain || a.Len() != b.Len() {
		return fmt.Errorf("%q %q %d rows, want %q %q %d", b.District, b.Domain, b.Len(), a.District, a.Domain, a.Len())
	}
	for _, c := range []*Batch{a, b} {
		for _, n := range []int{len(c.PhenomenonNs), len(c.ResultNs), len(c.Values), len(c.TextRefs), len(c.Qualities)} {
			if n != c.Len() {
				return fmt.Errorf("columns of %d and %d rows", c.Len(), n)
			}
		}
	}
	for i := range a.Len() {
		x, y := a.Row(i), b.Row(i)
		if math.Float64bits(x.Value) != math.Float64bits(y.Value) {
			return fmt.Errorf("row %d: value %x, want %x", i, math.Float64bits(y.Value), math.Float64bits(x.Value))
		}
		x.Value, y.Value = 0, 0
		if x != y {
			return fmt.Errorf("row %d: %+v, want %+v", i, y, x)
		}
	}
	return nil
}

func encode(t testing.TB, b *Batch) []byte {
	t.Helper()
	data, err := b.AppendEncoded(nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The bytes of version 1 are in logs already: they are written and read alike
// for ever.
func TestGolden(t *testing.T) {
	for name, b := range map[string]*Batch{"v1-sample": sample(), "v1-empty": {}, "v1-typical": typical(300)} {
		path := "testdata/" + name + ".bin"
		got := encode(t, b)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the encoding has changed; a new encoding needs a new version", name)
		}
		var d Batch
		if err := d.Decode(want); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if err := same(b, &d); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A batch that is used again holds nothing of what it held before.
func TestDecodeReuse(t *testing.T) {
	var d Batch
	for _, b := range []*Batch{sample(), {}, typical(1000), sample(), typical(1), sample()} {
		data := encode(t, b)
		kept := bytes.Clone(data)
		if err := d.Decode(data); err != nil {
			t.Fatal(err)
		}
		clear(data) // Decode keeps no reference
		if err := same(b, &d); err != nil {
			t.Fatal(err)
		}
		if len(d.Texts) != len(b.Texts) {
			t.Fatalf("%d texts, want %d", len(d.Texts), len(b.Texts))
		}
		if again := encode(t, &d); !bytes.Equal(again, kept) {
			t.Fatal("encoded again it differs")
		}
	}
	// Rows may be added to a decoded batch.
	if err := d.Decode(encode(t, sample())); err != nil {
		t.Fatal(err)
	}
	d.AppendText(5, 6, 7, "闸门开启", twin.QualityGood)
	d.AppendText(5, 6, 7, "neu", twin.QualityGood)
	if a, b := d.Row(d.Len()-2).Text, d.Row(d.Len()-1).Text; a != "闸门开启" || b != "neu" {
		t.Fatalf("%q %q", a, b)
	}
}

func TestRows(t *testing.T) {
	src := sample()
	var viaRow, viaObservation Batch
	viaRow.Reset(src.District, src.Domain)
	viaObservation.Reset(src.District, src.Domain)
	for i := range src.Len() {
		viaRow.AppendRow(src, i)
		viaObservation.Append(src.Row(i))
	}
	for _, b := range []*Batch{&viaRow, &viaObservation} {
		if err := same(src, b); err != nil {
			t.Error(err)
		}
		if len(b.Texts) != 2 {
			t.Errorf("%d texts, want each once", len(b.Texts))
		}
	}
}

// seal gives body the checksum that it asks for.
func seal(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(body[:len(body):len(body)], crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

func TestDecodeDamaged(t *testing.T) {
	good := encode(t, sample())
	body := good[:len(good)-4]
	head := func(s string) []byte { return seal([]byte("CHB\x01" + s)) }
	cases := map[string][]byte{
		"empty":                  {},
		"short":                  []byte("CHB\x01"),
		"magic":                  seal([]byte("XHB\x01\x00\x00\x00\x00")),
		"version":                seal(append([]byte("CHB\x02"), body[4:]...)),
		"checksum":               append(bytes.Clone(body), 1, 2, 3, 4),
		"trailing":               seal(append(bytes.Clone(body), 0)),
		"endless varint":         head(strings.Repeat("\xff", 12)),
		"long district":          head("\x80\x02" + strings.Repeat("d", 256) + "\x00\x00\x00"),
		"district beyond end":    head("\x05ab"),
		"too many rows":          head("\x00\x00\x81\x80\x08\x00" + strings.Repeat("\x00", 200)),
		"more rows than bytes":   head("\x00\x00\x80\x80\x08\x00" + strings.Repeat("\x00", 200)),
		"too many texts":         head("\x00\x00\x01\x81\x80\x04"),
		"text beyond end":        head("\x00\x00\x01\x01\x7fabc"),
		"quality run of none":    head("\x00\x00\x01\x00\x02\x02\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
		"quality run too long":   head("\x00\x00\x01\x00\x02\x02\x02\x01\x02\x00\x00\x00\x00\x00\x00\x00\x00"),
		"quality missing":        head("\x00\x00\x01\x00\x02\x02\x02"),
		"reference beyond texts": head("\x00\x00\x01\x01\x01x\x02\x02\x02\x01\x01\x02"),
		"value cut":              head("\x00\x00\x01\x00\x02\x02\x02\x01\x01\x00\x00\x00"),
	}
	for i := range good { // every cut and every flipped byte
		cases[fmt.Sprint("cut at ", i)] = good[:i]
		flipped := bytes.Clone(good)
		flipped[i] ^= 0x20
		cases[fmt.Sprint("flipped ", i)] = flipped
	}
	b := sample()
	for name, data := range cases {
		if err := b.Decode(data); twin.ErrorCode(err) != twin.CodeCorrupt {
			t.Errorf("%s: %v, want a corrupt batch", name, err)
		}
		if b.Len() != 0 || b.District != "" || len(b.Texts) != 0 || len(b.Values) != 0 || len(b.Qualities) != 0 {
			t.Errorf("%s: the batch is not empty after the error", name)
		}
	}
	if err := b.Decode(head("\x00\x00\x01\x00\x02\x02\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00")); err != nil || b.Len() != 1 {
		t.Errorf("the pattern of these cases itself is refused: %v", err)
	}
}

func TestEncodeLimits(t *testing.T) {
	texts := &Batch{}
	for i := range MaxTexts + 1 {
		texts.AppendText(1, int64(i), 0, fmt.Sprint(i), twin.QualityGood)
	}
	long := &Batch{}
	long.AppendText(1, 1, 1, strings.Repeat("x", MaxTextSize+1), twin.QualityGood)
	for name, b := range map[string]*Batch{
		"rows": typical(MaxRows + 1), "texts": texts, "text": long,
		"district": {District: strings.Repeat("d", 256)}, "domain": {Domain: twin.Domain(strings.Repeat("d", 256))},
	} {
		dst := []byte("kept")
		got, err := b.AppendEncoded(dst)
		if twin.ErrorCode(err) != twin.CodeTooLarge || string(got) != "kept" {
			t.Errorf("%s: %v, %d bytes", name, err, len(got))
		}
	}
	most := typical(MaxRows)
	most.District = strings.Repeat("d", 255)
	var d Batch
	if err := d.Decode(encode(t, most)); err != nil {
		t.Error(err)
	} else if err := same(most, &d); err != nil {
		t.Error(err)
	}
}

// Codec in steady use allocates nothing, texts that repeat included.
func TestNoAllocations(t *testing.T) {
	for name, b := range map[string]*Batch{"numbers": typical(500), "texts": sample()} {
		data := encode(t, b)
		var d Batch
		if err := d.Decode(data); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			if err := d.Decode(data); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: Decode allocates %v times", name, n)
		}
		buf := make([]byte, 0, 2*len(data))
		if n := testing.AllocsPerRun(100, func() { buf, _ = b.AppendEncoded(buf[:0]) }); n != 0 {
			t.Errorf("%s: AppendEncoded allocates %v times", name, n)
		}
	}
}

// Whatever the bytes, Decode neither panics nor holds more memory than a small
// multiple of them; what it accepts is encoded and decoded to the same again.
func FuzzDecode(f *testing.F) {
	for _, b := range []*Batch{sample(), {}, typical(20)} {
		data := encode(f, b)
		f.Add(data[:len(data)-4])
	}
	f.Add([]byte("CHB\x01\x00\x00\x01\x01\x01x\x02\x02\x02\x01\x01\x01"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var b Batch
		if err := b.Decode(body); err != nil && twin.ErrorCode(err) != twin.CodeCorrupt {
			t.Fatal(err)
		}
		// With the checksum made good the rest of the decoder is reached.
		data := seal(body)
		if err := b.Decode(data); err != nil {
			if twin.ErrorCode(err) != twin.CodeCorrupt || b.Len() != 0 {
				t.Fatal(err, b.Len())
			}
			return
		}
		if held := cap(b.Datastreams)*8 + cap(b.PhenomenonNs)*8 + cap(b.ResultNs)*8 + cap(b.Values)*8 + cap(b.TextRefs)*4 + cap(b.Qualities) + cap(b.Texts)*16; held > 64*len(data)+4096 {
			t.Fatalf("%d bytes held for %d", held, len(data))
		}
		var again Batch
		if err := again.Decode(encode(t, &b)); err != nil {
			t.Fatal(err)
		}
		if err := same(&b, &again); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	src := typical(2000)
	buf, err := src.AppendEncoded(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = src.AppendEncoded(buf[:0])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/row")
	b.ReportMetric(float64(len(buf))/2000, "bytes/row")
}

func BenchmarkDecode(b *testing.B) {
	data := encode(b, typical(2000))
	var d Batch
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/row")
}

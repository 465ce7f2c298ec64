package streamload

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
	"go.uber.org/goleak"

	"cityhub/internal/loadgen"
	"cityhub/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestScan(t *testing.T) {
	var m message
	in := `{"type":"delta","view":"v1","position":{"epoch":"e1","offset":4},"observations":[[7,1790000000000,12,2],[8,1790000000001.25,1e+06,2]],"datastreams":[{"name":"\"observations\":[[1,1,1,1]]","lon":120.5}]}`
	if err := scan([]byte(in), &m); err != nil {
		t.Fatal(err)
	}
	if string(m.kind) != "delta" || string(m.view) != "v1" || string(m.epoch) != "e1" || m.offset != 4 || m.last {
		t.Errorf("%+v", m)
	}
	var rows []row
	if err := eachRow(m.rows, func(r row) error { rows = append(rows, r); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprint([]row{{7, 1790000000000e6, 12}, {8, 1790000000001250000, 1_000_000}}); fmt.Sprint(rows) != want {
		t.Errorf("%v, want %s", rows, want)
	}
	// The order of the members and blanks do not matter.
	if err := scan([]byte(" { \"left\" : [ 3 ] , \"last\" : true, \"resumed\":true, \"type\" : \"changed\",\"minIntervalMs\":50 } \n"), &m); err != nil || !m.last || !m.resumed || !m.update || string(m.kind) != "changed" {
		t.Errorf("%+v %v", m, err)
	}
	var ids []int64
	if err := eachID([]byte("[1,22,333]"), func(id int64) { ids = append(ids, id) }); err != nil || fmt.Sprint(ids) != "[1 22 333]" {
		t.Errorf("%v %v", ids, err)
	}
	for _, bad := range []string{``, `[]`, `{`, `{"type"}`, `{"type":}`, `{"type":"x"`, `{"type":"x"}}`, `{"type":"x",}`, `{"a":[1}`, `{"a":"x}`} {
		if scan([]byte(bad), &m) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, bad := range []string{``, `[`, `[[1,2,3,4]`, `[[,2,3,4]]`, `[[1,2,3.5,4]]`, `[[1,2,"x",4]]`, `[[1,2,null,4]]`, `[[1,2.,3,4]]`, `[[9999999999999999999,2,3,4]]`, `[[1,2,3]`} {
		if eachRow([]byte(bad), func(row) error { return nil }) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	b := []byte(in)
	if n := testing.AllocsPerRun(100, func() {
		_ = scan(b, &m)
		_ = eachRow(m.rows, func(row) error { return nil })
	}); n > 0 {
		t.Errorf("%v allocations a message", n)
	}
}

// What encoding/json takes and this package reads from it, it reads equally.
func FuzzScan(f *testing.F) {
	f.Add([]byte(`{"type":"delta","view":"v1","position":{"epoch":"e1","offset":4},"observations":[[7,1790000000000,12,2]]}`))
	f.Add([]byte(`{"type":"changed","left":[1,2],"last":true,"a":{"b":[1,{"c":"}\\"}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m message
		err := scan(b, &m)
		if err == nil && m.rows != nil {
			_ = eachRow(m.rows, func(row) error { return nil })
		}
		if err == nil && m.left != nil {
			_ = eachID(m.left, func(int64) {})
		}
		var want struct {
			Observations json.RawMessage `json:"observations"`
			Left         json.RawMessage `json:"left"`
		}
		if !json.Valid(b) || bytes.Contains(b, []byte(`\`)) || json.Unmarshal(b, &want) != nil || len(b) == 0 || bytes.TrimLeft(b, " \t\r\n")[0] != '{' {
			return
		}
		if err != nil && !bytes.Contains(b, []byte("position")) {
			t.Fatalf("%v of %s", err, b)
		}
		// Member names are compared exactly here, and json takes the last of equals as scan does.
		if strings.Count(strings.ToLower(string(b)), `"observations"`) == 1 && bytes.Contains(b, []byte(`"observations"`)) && err == nil && want.Observations != nil && !bytes.Equal(m.rows, want.Observations) {
			t.Fatalf("observations %s, want %s", m.rows, want.Observations)
		}
	})
}

// fed is a client that gets messages from a test.
func fed(o Options) *client {
	l := &Load{o: o, failed: make(chan struct{})}
	for i := range shards {
		l.ways[i].h, l.pans[i].h = hdr.New(1, longestMicros, 3), hdr.New(1, longestMicros, 3)
	}
	return &client{load: l, began: make(chan struct{}), seen: map[int64]int64{}, hist: &l.ways[0]}
}

func TestClientFindsWhatIsWrong(t *testing.T) {
	begin := []string{
		`{"type":"welcome","epoch":"e1"}`, `{"type":"subscribed","id":"s1","view":"v1"}`,
		`{"type":"snapshot","view":"v1","position":{"epoch":"e1","offset":3},"last":true,"observations":[[1,1790000000000,4,1]]}`,
		`{"type":"delta","view":"v1","position":{"epoch":"e1","offset":4},"observations":[[1,1790000000001,5,1],[2,1790000000001,0,1]]}`,
	}
	delta := func(offset, ds, value int) string {
		return fmt.Sprintf(`{"type":"delta","view":"v1","position":{"epoch":"e1","offset":%d},"observations":[[%d,1790000000002,%d,1]]}`, offset, ds, value)
	}
	for name, c := range map[string]struct {
		o       Options
		message string
		fails   bool
	}{
		"the next":                  {message: delta(5, 1, 6)},
		"of the same record":        {message: delta(4, 2, 1)},
		"a gap":                     {message: delta(5, 1, 7), fails: true},
		"a repeat":                  {message: delta(5, 1, 5), fails: true},
		"an older one":              {message: delta(5, 1, 4), fails: true},
		"a first that is not first": {message: delta(5, 3, 1), fails: true},
		"a position that goes back": {message: delta(3, 1, 6), fails: true},
		"another epoch":             {message: strings.Replace(delta(5, 1, 6), "e1", "e2", 1), fails: true},
		"another view":              {message: strings.Replace(delta(5, 1, 6), "v1", "v2", 1), fails: true},
		"an error":                  {message: `{"type":"error","id":"s1","code":"invalid"}`, fails: true},
		"no JSON":                   {message: `delta`, fails: true},
		"what is not known yet":     {message: `{"type":"event","kind":"terminal"}`},
		"latest, some left out":     {o: Options{Latest: true}, message: delta(5, 1, 9)},
		"latest, a repeat":          {o: Options{Latest: true}, message: delta(5, 1, 5), fails: true},
	} {
		f := fed(c.o)
		for _, m := range begin {
			if err := f.message([]byte(m), f.delta); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if err := f.message([]byte(c.message), f.delta); (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A view that changes in place: what left it may come back with any number, what
// stayed goes on.
func TestClientFollowsChangedViews(t *testing.T) {
	f := fed(Options{})
	for i, m := range []struct {
		text  string
		fails bool
	}{
		{text: `{"type":"subscribed","id":"s1","view":"v1"}`},
		{text: `{"type":"snapshot","view":"v1","position":{"epoch":"e","offset":9},"last":true,"observations":[[1,1,4,1],[2,1,7,1]]}`},
		{text: `{"type":"changed","id":"s1","view":"v2","position":{"epoch":"e","offset":12},"left":[1],"observations":[[3,1,20,1]],"last":true}`},
		{text: `{"type":"delta","view":"v2","position":{"epoch":"e","offset":13},"observations":[[2,2,8,1],[3,2,21,1]]}`},
		{text: `{"type":"delta","view":"v2","position":{"epoch":"e","offset":14},"observations":[[1,2,5,1]]}`, fails: true},
	} {
		if err := f.message([]byte(m.text), f.delta); (err != nil) != m.fails {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if f.load.changes.Load() != 0 {
		t.Error("a change counts that nobody asked for")
	}
}

func BenchmarkDelta(b *testing.B) {
	f := fed(Options{})
	for _, m := range []string{`{"type":"subscribed","id":"s1","view":"v1"}`, `{"type":"snapshot","view":"v1","position":{"epoch":"e","offset":1},"last":true,"observations":[]}`} {
		if err := f.message([]byte(m), f.delta); err != nil {
			b.Fatal(err)
		}
	}
	f.load.o.Latest = true
	take := f.delta
	var buf []byte
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		buf = fmt.Appendf(buf[:0], `{"type":"delta","view":"v1","position":{"epoch":"e","offset":%d},"observations":[`, n)
		for i := range 25 {
			if i > 0 {
				buf = append(buf, ',')
			}
			buf = fmt.Appendf(buf, `[%d,1790000000000,%d,1]`, i+1, n)
		}
		if err := f.message(append(buf, "]}"...), take); err != nil {
			b.Fatal(err)
		}
	}
}

func TestCameraStaysInItsArea(t *testing.T) {
	area := Box{120, 31, 120.1, 31.05}
	for seed := range uint64(50) {
		c := NewCamera(area, 0.2, seed)
		before, moved := c.Box(), false
		for range 200 {
			b := c.Move()
			if b.West < area.West-1e-9 || b.East > area.East+1e-9 || b.South < area.South-1e-9 || b.North > area.North+1e-9 || math.Abs(b.East-b.West-0.02) > 1e-9 {
				t.Fatalf("seed %d: %+v", seed, b)
			}
			moved = moved || b != before
		}
		if !moved || NewCamera(area, 0.2, seed).Box() != before {
			t.Fatalf("seed %d: it stands still, or moves differently the next time", seed)
		}
	}
}

// The real hub: clients that see everything, clients that pan, and hostile ones
// beside them.
func TestRealHub(t *testing.T) {
	h := testkit.StartHub(t, testkit.HubOptions{})
	var manifest strings.Builder
	if err := loadgen.Manifest(&manifest, loadgen.ManifestOptions{Terminals: 30, Readings: 3}); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.HTTP+"/api/v1/terminals/import", strings.NewReader(manifest.String()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.Token())
	req.Header.Set("Content-Type", "application/yaml")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pub, err := NewPublisher(ctx, PublisherOptions{Broker: h.MQTT, Terminals: 30, Readings: 3, Connections: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pub.Close() }()
	url := "ws" + strings.TrimPrefix(h.HTTP, "http") + "/stream"
	all, err := Dial(ctx, Options{URL: url, Token: h.Token(), Clients: 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = all.Close() }()
	area := Box{120.598, 31.285, 120.641, 31.332}
	cameras := make([]*Camera, 20)
	for i := range cameras {
		cameras[i] = NewCamera(area, 0.4, uint64(i))
	}
	pan, err := Dial(ctx, Options{URL: url, Token: h.Token(), Clients: len(cameras), Filter: func(i int) string { return cameras[i].Box().Filter() }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pan.Close() }()

	bad, stop := context.WithCancel(ctx)
	ended := make(chan error, len(Hostiles)+1)
	for _, kind := range Hostiles {
		go func() {
			n, err := Harass(bad, url, h.Token(), kind, 2)
			if err == nil && n == 0 {
				err = fmt.Errorf("no %s client", kind)
			}
			ended <- err
		}()
	}
	go func() {
		ended <- pan.Pan(bad, 100*time.Millisecond, func(i int) string { return cameras[i].Move().Filter() })
	}()
	if err := pub.Run(ctx, 300, 2*time.Second); err != nil {
		t.Error(err)
	}
	stop()
	for range cap(ended) {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if err := all.Wait(ctx, 20*pub.Published()); err != nil {
		t.Error(err)
	}
	if err := all.Close(); err != nil {
		t.Error(err)
	}
	if err := pan.Close(); err != nil {
		t.Error(err)
	}
	a, p := all.Stats(), pan.Stats()
	if a.Readings != 20*pub.Published() || pub.Acked() != pub.Published() || pub.Published() < 1000 || all.Delivery().TotalCount() != a.Readings {
		t.Errorf("%+v of %d published, %d acknowledged, %d measured", a, pub.Published(), pub.Acked(), all.Delivery().TotalCount())
	}
	if p.Changes < 20 || p.Readings == 0 || pan.Changing().TotalCount() != p.Changes {
		t.Errorf("%+v", p)
	}
}

package replay

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"cityhub/internal/mqttclient/mqtttest"
	"cityhub/twin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const small = `
name: small
files: {format: csv, glob: "*.csv*", name: 'x(?P<no>\d)\.csv(\.gz)?'}
na: [NA, ""]
time: {column: when, layout: "2006-01-02 15:04", zone: Asia/Shanghai}
join:
  - name: site
    key: "{site}"
    table:
      A: {title: 甲, lon: "120.6", lat: "31.3"}
      B: {title: 乙, lon: "120.7", lat: "31.4"}
terminal:
  code: "s-{site|lower}"
  name: "{site.title}"
  nameEn: "Site {site}, file {file.no}"
  domain: environment
  location: {lon: "{site.lon}", lat: "{site.lat}"}
dataset: {code: small, title: 小, owner: 测试, open: none}
properties:
  - {column: pm, name: pm25, title: 颗粒物, unit: {name: microgram per cubic metre, symbol: µg/m³, ucum: ug/m3}}
  - {column: n, name: n, title: 数, type: count}
  - {column: wd, name: wd, title: 风向, type: text}
  - {column: on, name: "on", title: 开, type: truth}
`

// Row 3 of x1 repeats row 2 for pm25; the last row has no value.
const x1 = `when,site,pm,n,wd,on
2020-01-01 08:00,A,1.50,3,N,1
2020-01-01 09:00,A,-0.5,4,"N""E",0
2020-01-01 09:00,A,2,NA,,
2020-01-01 10:00,B, 7 ,1,S,true
2020-01-01 11:00,B,NA,,NA,NA
`
const x2 = `when,site,pm,n,wd,on
2020-01-01 08:30,B,+3,12.0,NW,no
2020-01-01 12:00,B,1e3,0,NW,no
`

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		b := []byte(text)
		if strings.HasSuffix(name, ".gz") {
			var z bytes.Buffer
			w := gzip.NewWriter(&z)
			_, _ = w.Write(b)
			_ = w.Close()
			b = z.Bytes()
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func openSmall(t *testing.T) *Source {
	t.Helper()
	m, err := ParseMapping("small.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Open(write(t, map[string]string{"x1.csv": "\xef\xbb\xbf" + x1, "x2.csv.gz": x2}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCountTellsRepeatedValuesApart(t *testing.T) {
	c, err := Count(t.Context(), openSmall(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Files != 2 || c.Rows != 7 || c.EmptyRows != 1 || c.Values != 21 || c.Distinct != 20 || c.Repeated != 1 || c.Texts != 5 || c.Numbers != 15 {
		t.Errorf("%+v", c)
	}
	if got := c.First.Format(time.RFC3339) + " " + c.Last.Format(time.RFC3339); got != "2020-01-01T00:00:00Z 2020-01-01T04:00:00Z" {
		t.Error(got)
	}
	a := c.Terminals[0]
	if a.Code != "s-a" || a.Properties[0].Values != 3 || a.Properties[0].Distinct != 2 || a.Properties[1].Distinct != 2 {
		t.Errorf("%+v", a)
	}
	var b bytes.Buffer
	if err := c.WriteTable(&b); err != nil || !strings.Contains(b.String(), "15 numbers, 5 texts") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestRunPublishesEveryRowOnceInOrder(t *testing.T) {
	addr := mqtttest.Mosquitto(t)
	for _, c := range []struct {
		name        string
		speed       float64
		qos         byte
		connections int
	}{{"full speed", 0, 1, 3}, {"full speed QoS 0", 0, 0, 1}, {"paced", 7200 * 10, 1, 2}} {
		t.Run(c.name, func(t *testing.T) {
			sub := mqtttest.Subscribe(t, addr, "terminals/#")
			var out bytes.Buffer
			began := time.Now()
			res, err := Run(t.Context(), Options{Source: openSmall(t), Broker: addr, QoS: c.qos, Connections: c.connections, Speed: c.speed, Progress: &out})
			if err != nil {
				t.Fatal(err)
			}
			if res.Rows != 7 || res.Messages != 6 || res.Readings != 21 || res.Acked != 6 || res.Passes != 1 {
				t.Errorf("%+v", res)
			}
			if c.speed > 0 {
				// Four recorded hours.
				if want := time.Duration(float64(4*time.Hour) / c.speed); time.Since(began) < want {
					t.Errorf("took %s, want at least %s", time.Since(began), want)
				}
			}
			got := map[string][]string{}
			for range 6 {
				m := sub.Next(t)
				got[m.Topic] = append(got[m.Topic], string(m.Payload))
			}
			want := map[string][]string{
				"terminals/s-a/up/json": {
					`{"t":1577836800000,"pm25":1.50,"n":3,"wd":"N","on":true}`,
					`{"t":1577840400000,"pm25":-0.5,"n":4,"wd":"N\"E","on":false}`,
					`{"t":1577840400000,"pm25":2}`,
				},
				"terminals/s-b/up/json": {
					`{"t":1577838600000,"pm25":3,"n":12,"wd":"NW","on":false}`,
					`{"t":1577844000000,"pm25":7,"n":1,"wd":"S","on":true}`,
					`{"t":1577851200000,"pm25":1000,"n":0,"wd":"NW","on":false}`,
				},
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
			for _, ps := range got {
				for _, p := range ps {
					if !json.Valid([]byte(p)) {
						t.Errorf("no JSON: %s", p)
					}
				}
			}
		})
	}
}

func TestRunNowAndLoop(t *testing.T) {
	addr := mqtttest.Mosquitto(t)
	sub := mqtttest.Subscribe(t, addr, "terminals/#")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	began := time.Now()
	s := openSmall(t)
	go func() {
		_, err := Run(ctx, Options{Source: s, Broker: addr, QoS: 1, Speed: 3600 * 20, Now: true, Loop: true})
		done <- err
	}()
	for range 14 { // more than two passes
		var m struct {
			T int64 `json:"t"`
		}
		if err := json.Unmarshal(sub.Next(t).Payload, &m); err != nil {
			t.Fatal(err)
		}
		if at := time.UnixMilli(m.T); at.Before(began.Add(-time.Millisecond)) || at.After(time.Now()) {
			t.Errorf("observed at %s, between %s and now was asked for", at, began)
		}
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("a loop that was stopped returned nil")
	}
}

func TestRunSurvivesACutConnection(t *testing.T) {
	addr := mqtttest.Mosquitto(t)
	sub := mqtttest.Subscribe(t, addr, "terminals/#")
	proxy := mqtttest.NewProxy(t, addr)
	var b strings.Builder
	b.WriteString("when,site,pm,n,wd,on\n")
	const rows = 20000
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range rows {
		fmt.Fprintf(&b, "%s,%s,%d,,,\n", at.Add(time.Duration(i)*time.Minute).Format("2006-01-02 15:04"), "AB"[i%2:i%2+1], i)
	}
	m, err := ParseMapping("small.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Open(write(t, map[string]string{"x1.csv": b.String()}))
	if err != nil {
		t.Fatal(err)
	}
	counts, err := Count(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		for _, at := range []int{500, 5000, 12000} {
			for sub.Len() < at && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			proxy.Cut()
		}
	}()
	// 20,000 minutes in about 0.4 s, so that the cuts fall into the run.
	res, err := Run(t.Context(), Options{Source: s, Counts: counts, Broker: proxy.Addr(), QoS: 1, Connections: 2, Speed: 3e6})
	cancel()
	<-cut
	if err != nil {
		t.Fatal(err)
	}
	if res.Reconnects == 0 || res.Acked != rows {
		t.Errorf("%+v", res)
	}
	got := map[string]bool{}
	for _, m := range sub.Quiet(time.Second) {
		got[m.Topic+string(m.Payload)] = true
	}
	if len(got) != rows {
		t.Errorf("%d different messages arrived, want %d", len(got), rows)
	}
}

func TestBadDataNamesFileLineAndColumn(t *testing.T) {
	m, err := ParseMapping("small.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	const head = "when,site,pm,n,wd,on\n2020-01-01 08:00,A,1,1,N,1\n"
	for _, c := range []struct{ name, text, want string }{
		{"number", head + "2020-01-01 09:00,A,abc,1,N,1\n", "x1.csv: line 3, column pm: \"abc\" is no measurement"},
		{"NaN", head + "2020-01-01 09:00,A,NaN,1,N,1\n", "line 3, column pm"},
		{"infinite", head + "2020-01-01 09:00,A,1e999,1,N,1\n", "line 3, column pm"},
		{"hexadecimal", head + "2020-01-01 09:00,A,0x1p4,1,N,1\n", "line 3, column pm"},
		{"count", head + "2020-01-01 09:00,A,1,1.5,N,1\n", "line 3, column n: \"1.5\" is no count"},
		{"truth", head + "2020-01-01 09:00,A,1,1,N,2\n", "line 3, column on"},
		{"UTF-8", head + "2020-01-01 09:00,A,1,1,\xff,1\n", "line 3, column wd"},
		{"time", head + "2020-02-30 09:00,A,1,1,N,1\n", "line 3, column when: \"2020-02-30 09:00\" is not a time"},
		{"join", head + "2020-01-01 09:00,C,1,1,N,1\n", ""}, // the code needs no join; the manifest does
		{"fields", head + "2020-01-01 09:00,A,1\n", "x1.csv: line 3"},
		{"quote", head + "2020-01-01 09:00,\"A,1\n", "x1.csv: line "},
		{"column", "when,site,pm,n,wd\n", "line 1, column on: there is no such column"},
		{"code", head + "2020-01-01 09:00,A/+,1,1,N,1\n", "\"s-a/+\", which is no code"},
		{"empty", "", "line 1: the file is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := m.Open(write(t, map[string]string{"x1.csv": c.text}))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Count(t.Context(), s, nil)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if _, err = s.Manifest(t.Context()); err == nil || !strings.Contains(err.Error(), `line 3: join site has no entry "C"`) {
					t.Errorf("got %v", err)
				}
				return
			}
			if twin.ErrorCode(err) != twin.CodeInvalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want … %s …", err, c.want)
			}
			if _, err := Run(t.Context(), Options{Source: s, Broker: "127.0.0.1:1"}); twin.ErrorCode(err) != twin.CodeInvalid {
				t.Errorf("published all the same: %v", err)
			}
		})
	}
}

func TestBadMappingNamesTheField(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"name: small\n", "", "name: is missing"},
		{"name: small", "nmae: small", "field nmae not found"},
		{"format: csv", "format: xls", "files.format"},
		{`glob: "*.csv*"`, `glob: ""`, "files.glob"},
		{"zone: Asia/Shanghai", "zone: Mars", "time.zone: \"Mars\""},
		{", zone: Asia/Shanghai", "", "time.zone: is missing"},
		{`layout: "2006-01-02 15:04"`, `layout: "YYYY-MM-DD"`, "time.layout"},
		{"domain: environment", "domain: environs", "terminal.domain"},
		{"{site|lower}", "{site|upper}", "filter \"upper\""},
		{"{file.no}", "{file.nr}", "files.name has no group \"nr\""},
		{"{site}, file", "{site, file", "terminal.nameEn"},
		{"open: none", "open: perhaps", "dataset.open"},
		{"type: count", "type: integer", "properties[1].type"},
		{"name: n,", "name: pm25,", "properties[1].name: \"pm25\" stands twice"},
		{", unit: {name: microgram per cubic metre, symbol: µg/m³, ucum: ug/m3}", "", "properties[0].unit"},
		{`, lat: "{site.lat}"`, "", "terminal.location"},
	} {
		text := strings.Replace(small, c.old, c.new, 1)
		if text == small {
			t.Fatalf("%s does not stand in the mapping", c.old)
		}
		_, err := ParseMapping("small.yaml", []byte(text))
		if twin.ErrorCode(err) != twin.CodeInvalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want … %s …", c.new, err, c.want)
		}
	}
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	m, err := ParseMapping("small.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	dir := write(t, map[string]string{"other.txt": "", "xx.csv": ""})
	for _, data := range [][]string{{}, {dir + "/none"}, {t.TempDir()}, {dir + "/other.txt"}, {dir}} {
		if _, err := m.Open(data...); twin.ErrorCode(err) != twin.CodeInvalid {
			t.Errorf("%v: %v", data, err)
		}
	}
}

func TestManifest(t *testing.T) {
	b, err := openSmall(t).Manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Datasets   []map[string]any
		Properties []struct {
			Name, Type string
			Column     *string
		}
		Terminals []struct {
			Code, Name, Domain, Dataset string
			NameEn                      string `yaml:"nameEn"`
			Location                    struct{ Lon, Lat float64 }
			Properties                  []string
		}
	}
	if err := yaml.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Terminals) != 2 || len(got.Properties) != 4 || len(got.Datasets) != 1 || got.Properties[3].Column != nil || got.Properties[3].Type != "truth" {
		t.Fatalf("%s", b)
	}
	x := got.Terminals[1]
	if x.Code != "s-b" || x.Name != "乙" || x.NameEn != "Site B, file 1" || x.Location.Lon != 120.7 || x.Location.Lat != 31.4 || fmt.Sprint(x.Properties) != "[pm25 n wd on]" || x.Dataset != "small" {
		t.Errorf("%+v", x)
	}
}

func TestGroupsKeepATerminalTogether(t *testing.T) {
	r := &runner{counts: &Counts{Terminals: make([]TerminalCount, 5), fileTerminals: [][]int{{0}, {1}, {2}, {1, 0}, {3, 4}, {}, {4}}}}
	if got := fmt.Sprint(r.groups()); got != "[[1 0 3] [2] [4 6] [5]]" {
		t.Error(got)
	}
}

// The hub's answers are served as its two routes have them.
func TestVerify(t *testing.T) {
	c, err := Count(t.Context(), openSmall(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]int64{}
	names := map[string]string{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/terminals/{code}", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(401)
			return
		}
		for ti, term := range c.Terminals {
			if term.Code == r.PathValue("code") {
				var list []map[string]any
				for pi, p := range term.Properties {
					id := ti*10 + pi
					names[fmt.Sprint(id)] = term.Code + "/" + p.Name
					list = append(list, map[string]any{"id": id, "property": p.Name})
				}
				_ = json.NewEncoder(w).Encode(map[string]any{"code": term.Code, "datastreams": list})
				return
			}
		}
		w.WriteHeader(404)
	})
	asked := 0
	mux.HandleFunc("GET /sta/v1.1/{entity}/Observations", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("$count") != "true" || r.URL.Query().Get("$top") != "0" {
			t.Errorf("query %s", r.URL.RawQuery)
		}
		id := strings.TrimSuffix(strings.TrimPrefix(r.PathValue("entity"), "Datastreams("), ")")
		n := stored[names[id]]
		if names[id] == "s-a/n" {
			if asked++; asked == 1 {
				n-- // the store is behind its log: asked again
			}
		}
		fmt.Fprintf(w, `{"@iot.count":%d,"value":[]}`, n)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	defer srv.Client().CloseIdleConnections()
	for _, term := range c.Terminals {
		for _, p := range term.Properties {
			stored[term.Code+"/"+p.Name] = p.Distinct
		}
	}
	o := VerifyOptions{BaseURL: srv.URL + "/", Token: "secret", Counts: c, Wait: 300 * time.Millisecond, Client: srv.Client()}
	rep, err := Verify(t.Context(), o)
	if err != nil || rep.Stored != 20 || rep.Numbers != 15 || rep.Texts != 5 || len(rep.Rows) != 8 || asked < 2 {
		t.Fatalf("%+v %v, asked %d times", rep, err, asked)
	}
	stored["s-b/wd"]--
	stored["s-a/pm25"]++
	rep, err = Verify(t.Context(), o)
	if twin.ErrorCode(err) != twin.CodeConflict || rep.Different != 2 || rep.Stored != 20 {
		t.Errorf("%+v %v", rep, err)
	}
	var b bytes.Buffer
	if err := rep.WriteTable(&b, true); err != nil || strings.Count(b.String(), "\n") != 5 || !strings.Contains(b.String(), "-1") || !strings.Contains(b.String(), "+1") {
		t.Errorf("%v\n%s", err, b.String())
	}
	o.Token = "wrong"
	if _, err := Verify(t.Context(), o); twin.ErrorCode(err) != twin.CodeUnauthorized {
		t.Errorf("got %v", err)
	}
	o.BaseURL = "localhost"
	if _, err := Verify(t.Context(), o); twin.ErrorCode(err) != twin.CodeInvalid {
		t.Errorf("got %v", err)
	}
}

func TestAppendValueIsJSON(t *testing.T) {
	for _, c := range []struct {
		kind kind
		in   string
		want string // empty: refused
	}{
		{kindMeasurement, "1", "1"}, {kindMeasurement, "-0", "-0"}, {kindMeasurement, "01", "1"}, {kindMeasurement, "1.", "1"}, {kindMeasurement, ".5", "0.5"},
		{kindMeasurement, "-.5", "-0.5"}, {kindMeasurement, "+5", "5"}, {kindMeasurement, "1e3", "1000"}, {kindMeasurement, "1.2.3", ""}, {kindMeasurement, "", ""},
		{kindMeasurement, "-", ""}, {kindMeasurement, "--1", ""}, {kindMeasurement, "1_0", ""}, {kindMeasurement, "inf", ""}, {kindMeasurement, "1,5", ""},
		{kindMeasurement, "123456789012345678901234567890", "1.2345678901234568e+29"}, {kindMeasurement, "-2.77555756156289e-17", "-2.77555756156289e-17"},
		{kindCount, "3", "3"}, {kindCount, "3.0", "3"}, {kindCount, "3.5", ""}, {kindCount, "2e3", "2000"}, {kindCount, "1e400", ""}, {kindCount, "-2", "-2"},
		{kindText, `a"\`, `"a\"\\"`}, {kindTruth, "Yes", "true"}, {kindTruth, "off", ""},
	} {
		b, ok := appendValue(nil, c.kind, c.in)
		if ok != (c.want != "") || ok && string(b) != c.want || ok && !json.Valid(b) {
			t.Errorf("%q: %s %v, want %q", c.in, b, ok, c.want)
		}
	}
}

func TestProgressWithoutATerminalIsLines(t *testing.T) {
	var b bytes.Buffer
	p := &progress{verb: "replaying", unit: "rows", total: 200, w: &b, stop: make(chan struct{}), end: make(chan struct{})}
	p.began.Store(time.Now().Add(-10 * time.Second).UnixNano())
	go p.run(5 * time.Millisecond)
	p.add(100, 1000)
	time.Sleep(50 * time.Millisecond)
	p.done()
	if line, _, _ := strings.Cut(b.String(), "\n"); line != "replaying: 100 of 200 rows, 1000 readings, 100/s, 10s left" {
		t.Errorf("%q", line)
	}
}

package replay

import (
	"path/filepath"
	"strings"
	"testing"

	"cityhub/internal/mqttclient/mqtttest"
	"cityhub/internal/testkit"
)

func load(t *testing.T, mapping string, data ...string) *Source {
	t.Helper()
	m, err := LoadMapping(filepath.Join("..", "..", "configs", "replay", mapping))
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Open(data...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const tiantan = "PRSA_Data_Tiantan_20130301-20170228.csv.gz"

// Every mapping that is shipped loads; the counts expected here were made by
// other means (awk and Python's csv module) from the same files.
func TestRealDataCounts(t *testing.T) {
	for _, c := range []struct {
		mapping, folder                               string
		terminals                                     int
		rows, empty, values, distinct, numbers, texts int64
		first, last, code, name, lon                  string
	}{
		{mapping: "beijing-prsa.yaml", folder: "beijing-prsa", terminals: 12, rows: 420768, values: 4975189, distinct: 4975189, numbers: 4556243, texts: 418946, first: "2013-02-28 16:00", last: "2017-02-28 15:00", code: "beijing-tiantan", name: "天坛", lon: "116.407"},
		{mapping: "aarhus-traffic.yaml", folder: "aarhus-citypulse", terminals: 12, rows: 191049, values: 955245, distinct: 955045, numbers: 764036, texts: 191009, first: "2014-08-01 07:50", last: "2014-09-30 23:55", code: "aarhus-traffic-190126", name: "(190126)", lon: "10."},
		{mapping: "aarhus-parking.yaml", folder: "aarhus-citypulse", terminals: 8, rows: 55264, values: 110528, distinct: 110528, numbers: 110528, first: "2014-05-22 07:09", last: "2014-11-04 13:13", code: "aarhus-parking-bruuns", name: "BRUUNS", lon: "10.20596"},
		{mapping: "aarhus-weather.yaml", folder: "aarhus-citypulse", terminals: 1, rows: 4357, empty: 1, values: 13047, distinct: 13047, numbers: 13047, first: "2014-07-31 22:00", last: "2014-09-30 21:50", code: "aarhus-weather-0", name: "Aarhus", lon: "10.2039"},
		{mapping: "aarhus-pollution.yaml", folder: "aarhus-citypulse", terminals: 4, rows: 70272, values: 351360, distinct: 351360, numbers: 351360, first: "2014-08-01 00:05", last: "2014-10-01 00:00", code: "aarhus-pollution-178929", name: "simulated", lon: "10.215389"},
	} {
		t.Run(c.mapping, func(t *testing.T) {
			folder := testkit.DataDir(t, c.folder)
			if raceEnabled && c.mapping == "beijing-prsa.yaml" {
				folder = filepath.Join(folder, tiantan)
				c.terminals, c.rows, c.values, c.distinct, c.numbers, c.texts = 1, 35064, 415491, 415491, 380505, 34986
			}
			s := load(t, c.mapping, folder)
			n, err := Count(t.Context(), s, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(n.Terminals) != c.terminals || n.Rows != c.rows || n.EmptyRows != c.empty || n.Values != c.values || n.Distinct != c.distinct || n.Numbers != c.numbers || n.Texts != c.texts {
				t.Errorf("terminals %d, rows %d, empty %d, values %d, distinct %d, numbers %d, texts %d", len(n.Terminals), n.Rows, n.EmptyRows, n.Values, n.Distinct, n.Numbers, n.Texts)
			}
			if f, l := n.First.Format("2006-01-02 15:04"), n.Last.Format("2006-01-02 15:04"); f != c.first || l != c.last {
				t.Errorf("from %s to %s", f, l)
			}
			b, err := s.Manifest(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			text := string(b)
			_, own, ok := strings.Cut(text, "code: "+c.code+"\n")
			if !ok || !strings.Contains(own, c.name) || !strings.Contains(own, "location: {lon: "+c.lon) {
				t.Errorf("manifest of %s:\n%.600s", c.code, own)
			}
			if simulated := strings.Count(text, "simulated: true"); simulated != 0 && c.mapping != "aarhus-pollution.yaml" || simulated == 0 && c.mapping == "aarhus-pollution.yaml" {
				t.Errorf("%d times simulated", simulated)
			}
		})
	}
}

// The fixture has the columns of the Beijing files and invented values; its
// counts were made with awk.
func TestFixtureCounts(t *testing.T) {
	m, err := LoadMapping(filepath.Join("..", "..", "configs", "replay", "beijing-prsa.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m.Files.Glob = "PRSA_Data_*.csv"
	s, err := m.Open("testdata")
	if err != nil {
		t.Fatal(err)
	}
	n, err := Count(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n.Rows != 96 || n.EmptyRows != 2 || n.Numbers != 921 || n.Texts != 78 || n.Distinct != 999 || n.Values != 999 {
		t.Errorf("%+v", n)
	}
	for i, want := range []int64{40, 44} {
		if p := n.Terminals[i].Properties[0]; p.Distinct != want {
			t.Errorf("%s has %d %s, want %d", n.Terminals[i].Code, p.Distinct, p.Name, want)
		}
	}
	// 2016-02-28 00:00 in Beijing.
	if got := n.First.Format("2006-01-02T15:04Z"); got != "2016-02-27T16:00Z" {
		t.Error(got)
	}
}

// All 12 stations at full speed over real MQTT: every message is acknowledged,
// and the messages hold every value.
func TestRealDataArrivesWhole(t *testing.T) {
	if testing.Short() {
		t.Skip("replays 420,768 rows")
	}
	folder, rows, values := testkit.DataDir(t, "beijing-prsa"), int64(420768), int64(4975189)
	if raceEnabled {
		folder, rows, values = filepath.Join(folder, tiantan), 35064, 415491
	}
	s := load(t, "beijing-prsa.yaml", folder)
	addr := mqtttest.AckServer(t)
	res, err := Run(t.Context(), Options{Source: s, Broker: addr, QoS: 1, Connections: 8})
	if err != nil {
		t.Fatal(err)
	}
	if res.Rows != rows || res.Readings != values || res.Acked != res.Messages || res.Reconnects != 0 {
		t.Errorf("%+v", res)
	}
	t.Logf("%d messages, %d readings in %s", res.Messages, res.Readings, res.Elapsed)
}

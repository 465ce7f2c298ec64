package sample

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	sampledata "cityhub/configs/sample"
	"cityhub/internal/mqttclient/mqtttest"
	"cityhub/twin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type manifest struct {
	Datasets []struct {
		Code, Open string
		Simulated  bool
	}
	Properties []struct {
		Name, Title, Type string
		TitleEn           string `yaml:"titleEn"`
		Unit              *struct{ UCUM string }
	}
	Terminals []struct {
		Code, Name, Domain, Dataset string
		NameEn                      string `yaml:"nameEn"`
		Simulated                   bool
		Location                    struct{ Lon, Lat float64 }
		Properties                  []string
	}
}

func readManifest(t *testing.T) manifest {
	t.Helper()
	var m manifest
	if err := yaml.Unmarshal(Manifest(), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestHourIsWhatTheGeneratorMakes(t *testing.T) {
	out := filepath.Join(t.TempDir(), "hour.csv")
	if b, err := exec.Command("go", "run", "./gen", "-out", out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	made, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, sampledata.Hour) {
		t.Error("configs/sample/hour.csv is not what the generator makes: go generate ./internal/sample")
	}
	if len(made) > 200<<10 {
		t.Errorf("%d bytes are more than 200 KiB", len(made))
	}
}

func TestEverythingIsMarkedSimulatedAndEveryDomainIsThere(t *testing.T) {
	m := readManifest(t)
	open := map[string]string{}
	for _, d := range m.Datasets {
		open[d.Code] = d.Open
		if !d.Simulated {
			t.Errorf("dataset %s is not marked simulated", d.Code)
		}
	}
	domains, classes := map[string]int{}, map[string]int{}
	for _, x := range m.Terminals {
		if !x.Simulated || x.Name == "" || x.NameEn == "" || open[x.Dataset] == "" {
			t.Errorf("%+v", x)
		}
		// Bounding box of the old town, so that swapped axes fail.
		if x.Location.Lon < 120.598 || x.Location.Lon > 120.641 || x.Location.Lat < 31.285 || x.Location.Lat > 31.332 {
			t.Errorf("%s stands at %v", x.Code, x.Location)
		}
		domains[x.Domain]++
		classes[open[x.Dataset]]++
	}
	for _, d := range twin.Domains() {
		if domains[string(d)] == 0 {
			t.Errorf("no terminal of domain %s", d)
		}
	}
	if classes["conditional"] == 0 || classes["unconditional"] <= classes["conditional"] {
		t.Errorf("classes of opening: %v", classes)
	}
	for _, p := range m.Properties {
		if p.Title == "" || p.TitleEn == "" || p.Type == "" && (p.Unit == nil || p.Unit.UCUM == "") {
			t.Errorf("%+v", p)
		}
	}
}

func TestHourFitsTheManifestAndHasNoSeam(t *testing.T) {
	m := readManifest(t)
	types := map[string]string{}
	for _, p := range m.Properties {
		types[p.Name] = p.Type
	}
	want := map[string]bool{}
	for _, x := range m.Terminals {
		for _, p := range x.Properties {
			want["terminals/"+x.Code+"/up/json "+p] = true
			if _, ok := types[p]; !ok {
				t.Errorf("%s is not defined", p)
			}
		}
	}
	hour, err := parse(bytes.NewReader(sampledata.Hour))
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string][]float64{}
	at := map[string][]time.Duration{}
	for _, msg := range hour {
		var v map[string]any
		if err := json.Unmarshal([]byte("{"+string(msg.readings[1:])+"}"), &v); err != nil {
			t.Fatal(err)
		}
		for name, value := range v {
			key := msg.topic + " " + name
			if !want[key] {
				t.Fatalf("%s is not in the manifest", key)
			}
			at[key] = append(at[key], msg.offset)
			var right bool
			switch x := value.(type) {
			case float64:
				right = types[name] == "" || types[name] == "count" && x == math.Trunc(x) && x >= 0
				numbers[key] = append(numbers[key], x)
			case bool:
				right = types[name] == "truth"
			case string:
				right = types[name] == "text"
			}
			if !right {
				t.Fatalf("%s is %v, type %q", key, value, types[name])
			}
		}
	}
	for key := range want {
		offsets := at[key]
		if len(offsets) == 0 {
			t.Errorf("%s has no reading", key)
			continue
		}
		for i, o := range offsets {
			next := offsets[0] + time.Hour
			if i+1 < len(offsets) {
				next = offsets[i+1]
			}
			if gap := next - o; gap < 10*time.Second || gap > time.Minute {
				t.Fatalf("%s: %s between two readings", key, gap)
			}
		}
	}
	for key, v := range numbers {
		steps := make([]float64, 0, len(v))
		for i := 1; i < len(v); i++ {
			steps = append(steps, math.Abs(v[i]-v[i-1]))
		}
		sort.Float64s(steps)
		if seam := math.Abs(v[0] - v[len(v)-1]); seam > steps[len(steps)-1] {
			t.Errorf("%s jumps by %g over the seam, inside by at most %g", key, seam, steps[len(steps)-1])
		}
	}
}

func TestRunLoopsOnTheClock(t *testing.T) {
	addr := mqtttest.Mosquitto(t)
	hour, err := parse(bytes.NewReader(sampledata.Hour))
	if err != nil {
		t.Fatal(err)
	}
	// A clock that runs 600 times as fast, from five minutes before a full hour.
	began, base := time.Now(), time.Date(2026, 5, 1, 7, 55, 0, 0, time.UTC)
	clock := func() time.Time { return base.Add(time.Since(began) * 600) }
	sub := mqtttest.Subscribe(t, addr, "terminals/#")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, Options{Broker: addr, Now: clock}) }()

	var start time.Time
	i, passed := -1, false
	for range len(hour) / 2 { // 15 minutes of the past, and on over the full hour
		if i == len(hour) {
			start, i, passed = start.Add(time.Hour), 0, true
		}
		msg := sub.Next(t)
		var v struct{ T int64 }
		if err := json.Unmarshal(msg.Payload, &v); err != nil {
			t.Fatal(err)
		}
		if i < 0 { // the clock ran on until Run looked at it
			first := time.UnixMilli(v.T)
			if late := first.Sub(base.Add(-Backfill)); late < 0 || late > 10*time.Minute {
				t.Fatalf("starts at %s", first)
			}
			start, i = place(hour, first)
		}
		due := start.Add(hour[i].offset)
		if v.T != due.UnixMilli() || msg.Topic != hour[i].topic || !strings.HasSuffix(string(msg.Payload), string(hour[i].readings)+"}") {
			t.Fatalf("message %d: %s %s, want %s at %s", i, msg.Topic, msg.Payload, hour[i].topic, due)
		}
		if time.UnixMilli(v.T).After(clock()) {
			t.Fatalf("%s lies in the future", due)
		}
		i++
	}
	if !passed {
		t.Error("the loop did not pass the full hour")
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestRunErrors(t *testing.T) {
	if err := Run(t.Context(), Options{Broker: "127.0.0.1:1"}); twin.ErrorCode(err) != twin.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	if err := Run(t.Context(), Options{Broker: "127.0.0.1:1", Backfill: 2 * time.Hour}); twin.ErrorCode(err) != twin.CodeInvalid {
		t.Errorf("got %v", err)
	}
	for _, text := range []string{"", "offset,terminal,property,value\n", "offset,terminal,property,value\n3600,a,b,1\n", "offset,terminal,property,value\n5,a,b,1\n4,a,b,1\n", "a,b\n"} {
		if _, err := parse(strings.NewReader(text)); twin.ErrorCode(err) != twin.CodeInvalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

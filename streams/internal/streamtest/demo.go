package streamtest

import (
	"context"
	"net/http"
	"testing"
	"time"

	"cityhub/streams"
	"cityhub/twin"
)

// demoTime is what Clock says.
var demoTime = time.UnixMilli(1790000000000)

// OperatorToken sees everything of a Demo.
const OperatorToken = "operator-token"

// Demo is the small city of PROTOCOL.md's examples, with a running hub.
type Demo struct {
	Log       *Log
	State     *State
	Directory *Directory
	Gate      *Gate
	Hub       *streams.Hub
	datasets  map[string]twin.DatasetID
}

// Clock is the fixed time of a Demo.
func Clock() time.Time { return demoTime }

// NewDemo starts a Demo that ends with the test; change may change the options.
func NewDemo(t testing.TB, change func(*streams.Options)) *Demo {
	t.Helper()
	d := &Demo{Log: NewLog(), State: NewState(), Directory: NewDirectory(), datasets: map[string]twin.DatasetID{"gusu-air": 1, "gusu-fire": 2, "gusu-water": 3}}
	d.Gate = &Gate{Directory: d.Directory}
	d.Gate.Grant(OperatorToken, true)
	d.Directory.SetOpen(1, true)
	d.Directory.SetOpen(3, true)
	air := Datastream(12, "pm25", 1, 120.62, 31.31)
	air.Terminal, air.ThingName, air.ThingNameEn = "gusu-air-01", "空气站 1", "Air 1"
	d.Directory.Put(air)
	air.ID, air.Terminal, air.ThingName, air.ThingNameEn, air.Lon, air.Lat = 13, "gusu-air-02", "空气站 2", "Air 2", 120.63, 31.3
	d.Directory.Put(air)
	d.Directory.Put(twin.Datastream{ID: 14, Terminal: "gusu-fire-01", ThingName: "消防 1", ThingNameEn: "Fire 1", PropertyName: "alarm", Dataset: 2, Domain: twin.DomainPublicSafety, Result: twin.ResultTruth, Lon: 120.6241, Lat: 31.3232, Simulated: true})
	d.Directory.Put(twin.Datastream{ID: 15, Terminal: "gusu-canal-01", ThingName: "平江河", ThingNameEn: "Pingjiang canal", PropertyName: "level", Dataset: 3, Domain: twin.DomainEmergency, Result: twin.ResultMeasurement, Unit: twin.Unit{Symbol: "m", Code: "m"}, Lon: Nowhere(), Lat: Nowhere(), Simulated: true})
	d.Log.Append(Reading(12, 1790000000000, 12.3))
	alarm := Reading(14, 1790000000000, 0)
	alarm.Quality = twin.QualityGood
	d.Log.Append(alarm)
	d.Log.Append(Reading(15, 1790000000000, 3))

	o := streams.Options{Source: d.Log, State: d.State, Directory: d.Directory, Labels: d.labels, Clock: Clock}
	if change != nil {
		change(&o)
	}
	hub, err := streams.New(o)
	if err != nil {
		t.Fatal(err)
	}
	d.Hub = hub
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- hub.Run(ctx) }()
	t.Cleanup(func() {
		stop, stopped := context.WithTimeout(context.Background(), 10*time.Second)
		defer stopped()
		if err := hub.Shutdown(stop); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	d.Settle(t)
	return d
}

// Settle waits until the hub has applied everything in the log.
func (d *Demo) Settle(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for end := uint64(len(d.Log.Records())); d.Hub.Position().Offset < end; time.Sleep(200 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the hub is at %v, the log at %d", d.Hub.Position(), end)
		}
	}
}

// Dataset is the id of a Dataset by its code.
func (d *Demo) Dataset(code string) twin.DatasetID { return d.datasets[code] }

func (d *Demo) labels(_ context.Context, ds *twin.Datastream) (streams.Labels, error) {
	l := map[string]streams.Labels{
		"pm25":  {Title: "细颗粒物", TitleEn: "PM2.5"},
		"alarm": {Title: "报警", TitleEn: "Alarm"},
		"level": {Title: "水位", TitleEn: "Water level"},
	}[ds.PropertyName]
	for code, id := range d.datasets {
		if id == ds.Dataset {
			l.Dataset = code
		}
	}
	return l, nil
}

// Problem writes an error as text with a fitting status.
func Problem(w http.ResponseWriter, _ *http.Request, err error) {
	status := map[twin.Code]int{
		twin.CodeInvalid: http.StatusBadRequest, twin.CodeUnauthorized: http.StatusUnauthorized, twin.CodeForbidden: http.StatusForbidden,
		twin.CodeTooMany: http.StatusTooManyRequests, twin.CodeUnavailable: http.StatusServiceUnavailable,
	}[twin.ErrorCode(err)]
	if status == 0 {
		status = http.StatusInternalServerError
	}
	http.Error(w, err.Error(), status)
}

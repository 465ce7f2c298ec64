package streams

import (
	"math"
	"testing"

	"cityhub/twin"
)

func TestAppendMillis(t *testing.T) {
	for _, tt := range []struct {
		ns   int64
		want string
	}{
		{1790000000000 * 1e6, "1790000000000"}, {0, "0"}, {-1e6, "-1"}, {1, "0.000001"}, {-1, "-0.000001"},
		{1790000000000*1e6 + 500000, "1790000000000.5"}, {1790000000000*1e6 + 120, "1790000000000.00012"},
		{-1500000, "-1.5"}, {math.MaxInt64, "9223372036854.775807"}, {math.MinInt64, "-9223372036854.775808"},
	} {
		if got := string(appendMillis(nil, tt.ns)); got != tt.want {
			t.Errorf("%d ns: %s, want %s", tt.ns, got, tt.want)
		}
	}
}

func TestAppendObservation(t *testing.T) {
	for _, tt := range []struct {
		o     twin.Observation
		truth bool
		want  string
	}{
		{twin.Observation{Datastream: 12, PhenomenonNs: 1790000000000e6, Value: 12.3, Quality: 2}, false, `[12,1790000000000,12.3,2]`},
		{twin.Observation{Datastream: 12, PhenomenonNs: 1, Value: 1, Quality: 1}, true, `[12,0.000001,true,1]`},
		{twin.Observation{Datastream: 12, Value: 0, Quality: 1}, true, `[12,0,false,1]`},
		{twin.Observation{Datastream: 12, Value: math.NaN(), Quality: 9}, true, `[12,0,null,9]`},
		{twin.Observation{Datastream: 12, Value: math.Inf(1), Quality: 9}, false, `[12,0,null,9]`},
		{twin.Observation{Datastream: 12, Text: "开\"\n", IsText: true, Quality: 3}, false, `[12,0,"开\"\n",3]`},
	} {
		if got := string(appendObservation(nil, &tt.o, tt.truth)); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.o, got, tt.want)
		}
	}
	o := twin.Observation{Datastream: 123456, PhenomenonNs: 1790000000123456789, Value: 12.345, Quality: 2}
	buf := make([]byte, 0, 128)
	if n := testing.AllocsPerRun(100, func() { buf = appendObservation(buf[:0], &o, false) }); n != 0 {
		t.Errorf("%v allocations for an observation, want none", n)
	}
}

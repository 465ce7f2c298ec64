package policy_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"cityhub/twin"
	"cityhub/twin/policy"
	"cityhub/twin/policy/policytest"
	"cityhub/twin/registry"
	"cityhub/twin/series"
)

var (
	public = policy.Principal{Role: policy.RolePublic}
	admin  = policy.Principal{Name: "operator", Role: policy.RoleAdmin}
)

func view(t testing.TB, c *policytest.City, p policy.Principal) *policy.View {
	t.Helper()
	v, err := c.Gate.View(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPublicSeesOnlyUnconditionalR32R36(t *testing.T) {
	c := policytest.New(t, "")
	all := map[string]*twin.Datastream{
		"air": c.Datastream("air-001", "pm25"), "traffic": c.Datastream("traffic-001", "flow"), "fire": c.Datastream("fire-001", "smoke"),
	}
	for _, tt := range []struct {
		name string
		p    policy.Principal
		sees []string
		key  string
	}{
		{"anonymous", c.Gate.Anonymous(), []string{"air"}, "public"},
		{"zero principal", policy.Principal{}, []string{"air"}, "public"},
		{"unknown role", policy.Principal{Name: "x", Role: "superuser"}, []string{"air"}, "public"},
		{"admin", admin, []string{"air", "fire", "traffic"}, "all"},
		{"terminal sees its own", policy.Principal{Name: "fire-001", Role: policy.RoleTerminal}, []string{"air", "fire"}, "terminal:fire-001"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := view(t, c, tt.p)
			if v.Key() != tt.key {
				t.Errorf("key %q, want %q", v.Key(), tt.key)
			}
			for name, ds := range all {
				want := slices.Contains(tt.sees, name)
				if v.Sees(ds) != want {
					t.Errorf("Sees(%s) = %v", name, !want)
				}
				_, err := v.Datastream(t.Context(), ds.ID)
				if (err == nil) != want || (err != nil && twin.ErrorCode(err) != twin.CodeNotFound) {
					t.Errorf("Datastream(%s): %v", name, err)
				}
				if _, ok := v.Latest(ds); ok != want {
					t.Errorf("Latest(%s) = %v", name, ok)
				}
				if _, err := v.Count(t.Context(), ds.ID, series.Window{}); (err == nil) != want {
					t.Errorf("Count(%s): %v", name, err)
				}
				if err := v.Observations(t.Context(), ds.ID, series.Window{}, func(twin.Observation) bool { return true }); (err == nil) != want {
					t.Errorf("Observations(%s): %v", name, err)
				}
				o, err := v.Observation(t.Context(), ds.ID, policytest.Start.UnixNano())
				if (err == nil) != want || (want && o.Datastream != ds.ID) {
					t.Errorf("Observation(%s): %v", name, err)
				}
			}
		})
	}
}

func TestInvisibleIsLikeMissingR28(t *testing.T) {
	c := policytest.New(t, "")
	v := view(t, c, public)
	hidden := c.Datastream("fire-001", "smoke")
	const missing = 9999
	_, err1 := v.Datastream(t.Context(), hidden.ID)
	_, err2 := v.Datastream(t.Context(), missing)
	like(t, "Datastream", err1, err2, int64(hidden.ID))
	_, err1 = v.Thing(t.Context(), hidden.Thing)
	_, err2 = v.Thing(t.Context(), missing)
	like(t, "Thing", err1, err2, int64(hidden.Thing))
	_, err1 = v.Sensor(t.Context(), hidden.Sensor)
	_, err2 = v.Sensor(t.Context(), missing)
	like(t, "Sensor", err1, err2, int64(hidden.Sensor))
	_, err1 = v.ObservedProperty(t.Context(), hidden.Property)
	_, err2 = v.ObservedProperty(t.Context(), missing)
	like(t, "ObservedProperty", err1, err2, int64(hidden.Property))
	th, err := view(t, c, admin).Thing(t.Context(), hidden.Thing)
	if err != nil {
		t.Fatal(err)
	}
	_, err1 = v.Location(t.Context(), th.Location)
	_, err2 = v.Location(t.Context(), missing)
	like(t, "Location", err1, err2, int64(th.Location))
	_, err1 = v.Observation(t.Context(), hidden.ID, policytest.Start.UnixNano())
	if twin.ErrorCode(err1) != twin.CodeNotFound {
		t.Errorf("Observation: %v", err1)
	}
	for _, id := range []int64{0, -1, math.MinInt64} {
		if _, err := v.Thing(t.Context(), twin.ThingID(id)); twin.ErrorCode(err) != twin.CodeNotFound {
			t.Errorf("Thing(%d): %v", id, err)
		}
	}
}

// like checks that two errors differ in the id alone.
func like(t *testing.T, what string, hidden, missing error, id int64) {
	t.Helper()
	if twin.ErrorCode(hidden) != twin.CodeNotFound || twin.ErrorCode(missing) != twin.CodeNotFound {
		t.Errorf("%s: %v, %v", what, hidden, missing)
		return
	}
	h, m := hidden.(*twin.Error), missing.(*twin.Error)
	want := *m
	want.Message = fmt.Sprintf("there is no %s %d", what, id)
	if h.Message != want.Message || h.Op != m.Op || h.Field != m.Field || h.Hint != m.Hint || m.Message != fmt.Sprintf("there is no %s 9999", what) {
		t.Errorf("%s: hidden %+v, missing %+v can be told apart", what, h, m)
	}
}

func TestListsAndCountsR28(t *testing.T) {
	c := policytest.New(t, "")
	for _, tt := range []struct {
		p                                                   policy.Principal
		things, locations, sensors, properties, datastreams int
		datasets, observed                                  int
	}{
		{public, 1, 1, 1, 4, 4, 1, 4},
		{admin, 3, 3, 3, 6, 6, 3, 6},
	} {
		v := view(t, c, tt.p)
		q := registry.Query{All: true, Count: true} // what a caller asks for is not what it may see
		ctx := t.Context()
		check := func(what string, n, total, want int, err error) {
			t.Helper()
			if err != nil || n != want || total != want {
				t.Errorf("%s %s: %d of %d, want %d, %v", tt.p.Role, what, n, total, want, err)
			}
		}
		things, total, err := v.Things(ctx, q)
		check("things", len(things), total, tt.things, err)
		locations, total, err := v.Locations(ctx, q)
		check("locations", len(locations), total, tt.locations, err)
		sensors, total, err := v.Sensors(ctx, q)
		check("sensors", len(sensors), total, tt.sensors, err)
		properties, total, err := v.ObservedProperties(ctx, q)
		check("properties", len(properties), total, tt.properties, err)
		datastreams, total, err := v.Datastreams(ctx, q)
		check("datastreams", len(datastreams), total, tt.datastreams, err)
		check("datasets", len(v.Datasets()), len(v.Datasets()), tt.datasets, nil)
		var ids []twin.DatastreamID
		err = v.Observed(ctx, 0, func(ds *twin.Datastream) (bool, error) { ids = append(ids, ds.ID); return true, nil })
		check("observed", len(ids), len(ids), tt.observed, err)
		if !slices.IsSorted(ids) {
			t.Errorf("not in order: %v", ids)
		}
	}
}

func TestOpeningAndClosingFollowsAtOnceR32R33(t *testing.T) {
	c := policytest.New(t, "")
	v := view(t, c, public) // kept, as by a stream
	flow, pm25 := c.Datastream("traffic-001", "flow"), c.Datastream("air-001", "pm25")
	if v.Sees(flow) || !v.Sees(pm25) {
		t.Fatal("wrong before the change")
	}
	c.SetOpen("traffic", twin.OpenUnconditional)
	if !v.Sees(flow) {
		t.Error("the upgrade did not open it")
	}
	c.SetOpen("air", twin.OpenNone)
	if v.Sees(pm25) {
		t.Error("a closed Dataset is still seen")
	}
	if _, err := v.Datastream(t.Context(), pm25.ID); twin.ErrorCode(err) != twin.CodeNotFound {
		t.Errorf("a closed Dataset is still read: %v", err)
	}
	// A later View agrees.
	if w := view(t, c, public); w.Sees(pm25) || !w.Sees(flow) {
		t.Error("a new View differs")
	}
}

func TestClosedWhenTheCatalogueCannotBeRead(t *testing.T) {
	c := policytest.New(t, "")
	v := view(t, c, public)
	pm25 := c.Datastream("air-001", "pm25")
	c.SetOpen("air", twin.OpenNone) // v has not looked since
	if err := c.Registry.Close(); err != nil {
		t.Fatal(err)
	}
	if v.Sees(pm25) {
		t.Error("an old catalogue is used though it is known to be old")
	}
	if _, err := c.Gate.View(t.Context(), public); err == nil {
		t.Error("a View without a catalogue")
	}
}

func TestAnonymousRole(t *testing.T) {
	c := policytest.New(t, policy.RoleAdmin)
	if p := c.Gate.Anonymous(); p.Role != policy.RoleAdmin || !p.Anonymous() {
		t.Errorf("%+v", p)
	}
	if _, err := policy.New(policy.Options{AnonymousRole: "root"}); twin.ErrorCode(err) != twin.CodeInvalid {
		t.Errorf("%v", err)
	}
}

func TestVerify(t *testing.T) {
	c := policytest.New(t, "")
	p, err := c.Gate.Verify(t.Context(), c.Token)
	if err != nil || p != admin {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, token := range []string{"", "x", c.Token + "x"} {
		if _, err := c.Gate.Verify(t.Context(), token); twin.ErrorCode(err) != twin.CodeUnauthorized {
			t.Errorf("%q: %v", token, err)
		}
	}
	list, err := c.Registry.ListTokens(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if err := c.Registry.RevokeToken(t.Context(), list[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Gate.Verify(t.Context(), c.Token); twin.ErrorCode(err) != twin.CodeUnauthorized {
		t.Errorf("a revoked token passes: %v", err)
	}
}

func TestRequireAdmin(t *testing.T) {
	for _, tt := range []struct {
		p    policy.Principal
		want twin.Code
	}{
		{policy.Principal{}, twin.CodeUnauthorized},
		{public, twin.CodeUnauthorized},
		{policy.Principal{Name: "visitor", Role: policy.RolePublic}, twin.CodeForbidden},
		{policy.Principal{Name: "air-001", Role: policy.RoleTerminal}, twin.CodeForbidden},
		{admin, ""},
		{policy.Principal{Role: policy.RoleAdmin}, ""},
	} {
		if got := twin.ErrorCode(tt.p.RequireAdmin("test")); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.p, got, tt.want)
		}
	}
}

func TestSeesDoesNotAllocate(t *testing.T) {
	c := policytest.New(t, "")
	v, ds := view(t, c, public), c.Datastream("air-001", "pm25")
	seen := 0
	if n := testing.AllocsPerRun(1000, func() {
		if v.Sees(ds) {
			seen++
		}
	}); n != 0 || seen == 0 {
		t.Errorf("%v allocations, seen %d times", n, seen)
	}
}

func TestSeesWhileTheCatalogueChanges(t *testing.T) {
	c := policytest.New(t, "")
	v, pm25, smoke := view(t, c, public), c.Datastream("air-001", "pm25"), c.Datastream("fire-001", "smoke")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if !v.Sees(pm25) || v.Sees(smoke) {
					t.Error("a change of another Dataset shows")
					return
				}
			}
		})
	}
	for i := 0; ctx.Err() == nil; i++ {
		c.SetOpen("traffic", []twin.Openness{twin.OpenUnconditional, twin.OpenNone}[i%2])
	}
	wg.Wait()
}

func BenchmarkSees(b *testing.B) {
	c := policytest.New(b, "")
	v, ds := view(b, c, public), c.Datastream("air-001", "pm25")
	b.ReportAllocs()
	for b.Loop() {
		if !v.Sees(ds) {
			b.Fatal("not seen")
		}
	}
}

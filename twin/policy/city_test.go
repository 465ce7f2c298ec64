package policy_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
	"cityhub/spatial/store/gpkg"
	"cityhub/twin"
	"cityhub/twin/policy"
	"cityhub/twin/policy/policytest"
	"cityhub/twin/state"
)

// model is a city model of three data sets, of which one is open: houses at the
// terminals of policytest.
func model(t *testing.T, c *policytest.City) *policy.Gate {
	t.Helper()
	ctx := t.Context()
	s, err := gpkg.Open(ctx, gpkg.Options{Path: filepath.Join(t.TempDir(), "city.gpkg")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, h := range []struct {
		dataset  string
		open     twin.Openness
		lon, lat float64
	}{{"open-houses", twin.OpenUnconditional, 120.61540, 31.32454}, {"secret-houses", twin.OpenNone, 120.6178, 31.3088}, {"unlisted", "", 120.6320, 31.3113}} {
		if h.open != "" {
			if _, err := c.Registry.PutDataset(ctx, twin.Dataset{Code: h.dataset, Title: h.dataset, Owner: "住建局", Open: h.open}); err != nil {
				t.Fatal(err)
			}
		}
		const d = 0.0002
		o := &spatial.CityObject{ID: "house", Class: spatial.ClassBuilding, CRS: spatial.CRS{Horizontal: spatial.CRS84}, Geometries: []spatial.Geometry{{
			Kind: spatial.MultiSurface, Rings: []int32{4}, Surfaces: []int32{1},
			XYZ: []float64{h.lon - d, h.lat - d, 0, h.lon + d, h.lat - d, 0, h.lon + d, h.lat + d, 0, h.lon - d, h.lat + d, 0},
		}}}
		part := &spatial.CityObject{ID: "attic", Class: spatial.ClassBuilding, CRS: o.CRS, Parents: []string{"house"}}
		if _, err := s.Import(ctx, store.ImportOptions{Dataset: h.dataset}, func(yield func(*spatial.CityObject, error) bool) { _ = yield(o, nil) && yield(part, nil) }); err != nil {
			t.Fatal(err)
		}
	}
	x := index.New(index.Settings{})
	if err := x.Load(ctx, s, nil); err != nil {
		t.Fatal(err)
	}
	j := state.NewJoin(state.JoinOptions{Directory: c.Registry, Index: func() index.View { return x.For(nil) }})
	if err := j.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	g, err := policy.New(policy.Options{Registry: c.Registry, Series: c.Series, State: c.State, City: s, Index: x, Join: j})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func cityView(t *testing.T, g *policy.Gate, p policy.Principal) *city.View {
	t.Helper()
	v, err := g.View(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	out, err := v.City()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// R28, R32, R36: of the city model, too, the public sees what is open, and no
// answer or count tells that there is more.
func TestR28CityModelIsSeenByDataset(t *testing.T) {
	ctx := t.Context()
	c := policytest.New(t, "")
	g := model(t, c)
	world := orb.Bound{Min: orb.Point{-180, -90}, Max: orb.Point{180, 90}}
	for _, tt := range []struct {
		name string
		p    policy.Principal
		sees []string
	}{{"public", public, []string{"open-houses"}}, {"terminal", policy.Principal{Name: "fire-001", Role: policy.RoleTerminal}, []string{"open-houses"}}, {"operator", admin, []string{"open-houses", "secret-houses", "unlisted"}}} {
		t.Run(tt.name, func(t *testing.T) {
			v := cityView(t, g, tt.p)
			q := store.Query{Class: spatial.ClassBuilding}
			page, err := v.Store.Query(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			var sees []string
			for _, o := range page.Versions {
				if o.Object.ID == "house" {
					sees = append(sees, o.Dataset)
				}
			}
			if !slices.Equal(sees, tt.sees) {
				t.Errorf("a query gives %v, want %v", sees, tt.sees)
			}
			if n, err := v.Store.Count(ctx, q); err != nil || n != int64(2*len(tt.sees)) {
				t.Errorf("count %d %v, want %d", n, err, 2*len(tt.sees))
			}
			if v.Index.Len() != 2*len(tt.sees) {
				t.Errorf("the index has %d objects, want %d", v.Index.Len(), 2*len(tt.sees))
			}
			found := 0
			v.Index.Search(world, index.Options{}, func(index.Ref) bool { found++; return true })
			if found != len(tt.sees) {
				t.Errorf("a search finds %d, want %d", found, len(tt.sees))
			}
			extent, err := v.Store.Extent(ctx, spatial.ClassBuilding)
			if err != nil {
				t.Fatal(err)
			}
			if wide := extent.East-extent.West > 0.01; wide != (len(tt.sees) == 3) {
				t.Errorf("extent %v tells where other houses lie, or not where these do", extent)
			}
			for _, dataset := range []string{"open-houses", "secret-houses", "unlisted", "none"} {
				key := store.Key{Dataset: dataset, ID: "house"}
				want := slices.Contains(tt.sees, dataset)
				_, err := v.Store.Get(ctx, key, time.Time{})
				_, versionsErr := v.Store.Versions(ctx, key)
				parts, partsErr := v.Store.Parts(ctx, key, time.Time{})
				if (err == nil) != want || (versionsErr == nil) != want || (partsErr == nil && len(parts) == 1) != want {
					t.Errorf("%s: get %v, versions %v, parts %d %v; want it seen: %v", dataset, err, versionsErr, len(parts), partsErr, want)
				}
				var se *store.Error
				if err != nil && (!errors.As(err, &se) || se.Code != store.NotFound) {
					t.Errorf("%s: %v, want not-found, in the words for what does not exist", dataset, err)
				}
				if n, err := v.Store.Count(ctx, store.Query{Class: spatial.ClassBuilding, Datasets: []string{dataset}}); err != nil || (n == 2) != want {
					t.Errorf("%s: count %d %v", dataset, n, err)
				}
				if _, ok := v.Index.Find(key); ok != want {
					t.Errorf("%s: the index finds it: %v", dataset, ok)
				}
			}
			if _, err := v.Store.Changes(ctx, 0, func(store.Change) error { return nil }); (err == nil) != (tt.name == "operator") {
				t.Errorf("the feed of changes: %v", err)
			}
		})
	}
}

// What is observed on the city is seen with its own Dataset.
func TestR28ObservedIsSeenByDataset(t *testing.T) {
	ctx := t.Context()
	c := policytest.New(t, "")
	g := model(t, c)
	names := func(list []*city.Datastream) (out []string) {
		for _, ds := range list {
			out = append(out, ds.Terminal+"/"+ds.Property)
		}
		return out
	}
	v := cityView(t, g, public)
	list, err := v.Observed.Datastreams(ctx, city.Select{})
	if want := []string{"air-001/pm25", "air-001/cars", "air-001/status", "air-001/alarm"}; err != nil || !slices.Equal(names(list), want) {
		t.Errorf("the public sees %v (%v), want %v", names(list), err, want)
	}
	ref, _ := v.Index.Find(store.Key{Dataset: "open-houses", ID: "house"})
	position := v.Index.Object(ref).Position
	if on := v.Observed.On(ctx, position, nil); len(on) != 4 || on[0].Position != position {
		t.Errorf("on the open house: %v", names(on))
	}
	properties, err := v.Observed.Properties(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var props []string
	for _, p := range properties {
		props = append(props, p.Name+" "+p.UnitSymbol)
	}
	if len(props) != 4 || props[2] != "pm25 µg/m³" || !slices.IsSorted(props) {
		t.Errorf("properties %q, want alarm, cars, pm25 in µg/m³, status", props)
	}
	terminals, err := v.Observed.Terminals(ctx, city.Select{}, 0, 10)
	if err != nil || len(terminals) != 1 || terminals[0].Code != "air-001" || terminals[0].State != "active" || len(terminals[0].Datastreams) != 4 {
		t.Errorf("terminals %v %v", terminals, err)
	}
	if got, err := v.Observed.Objects(ctx, "flow"); err != nil || len(got) != 0 {
		t.Errorf("objects on which the hidden flow is observed: %v %v", got, err)
	}
	if got, err := v.Observed.Objects(ctx, "pm25"); err != nil || !slices.Equal(got, []int64{position}) {
		t.Errorf("objects of pm25: %v %v", got, err)
	}
	if _, ok := v.Bindings.Binding(ctx, int64(c.Datastream("fire-001", "smoke").ID)); ok {
		t.Error("the public gets the binding of a Datastream that it does not see")
	}

	reading, ok := v.Observed.Latest(list[0])
	last := policytest.Start.Add((policytest.Readings - 1) * time.Minute)
	if !ok || !reading.Time.Equal(last) || reading.Quality == "" {
		t.Errorf("latest %v %v, want that of %v", reading, ok, last)
	}
	at := policytest.Start.Add(90 * time.Second)
	if r, ok, err := v.Observed.LatestAt(ctx, list[0], at); err != nil || !ok || !r.Time.Equal(policytest.Start.Add(time.Minute)) {
		t.Errorf("at %v: %v %v %v", at, r, ok, err)
	}
	n := 0
	if err := v.Observed.Range(ctx, list[0], policytest.Start, policytest.Start.Add(10*time.Minute), func(city.Reading) bool { n++; return true }); err != nil || n != 10 {
		t.Errorf("ten minutes have %d readings, %v", n, err)
	}
	if err := v.Observed.Range(ctx, list[0], time.Unix(-10, 0), time.Unix(0, 0), func(city.Reading) bool { n++; return true }); err != nil || n != 10 {
		t.Errorf("a range that ends in 1970 gives readings of today: %v", err)
	}

	// R29: a Dataset that is closed disappears at once, and what was cached for
	// the public is not for it any more.
	key := v.Key
	d, err := c.Registry.DatasetByCode(ctx, "air")
	if err != nil {
		t.Fatal(err)
	}
	d.Open = twin.OpenNone
	if _, err := c.Registry.PutDataset(ctx, d); err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Observed.Latest(list[0]); ok {
		t.Error("a View that was made before shows the closed Dataset's readings")
	}
	if again := cityView(t, g, public); again.Key == key {
		t.Error("the key of the public's View is that of before")
	} else if list, err := again.Observed.Datastreams(ctx, city.Select{}); err != nil || len(list) != 0 {
		t.Errorf("the public sees %v, %v", names(list), err)
	}
}

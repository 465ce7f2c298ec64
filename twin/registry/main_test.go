package registry

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open gives a registry in memory, closed with the test.
func open(t testing.TB, o Options) *Registry {
	t.Helper()
	if o.PasswordIterations == 0 {
		o.PasswordIterations = 10 // the tests derive many keys
	}
	r, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

func openFile(t testing.TB) (*Registry, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a b?c#d%20", "registry.db")
	return open(t, Options{Path: path}), path
}

var (
	pm25  = &manifest.Property{Name: "pm25", Title: "PM2.5", Unit: manifest.UnitOf("ug/m3")}
	pm10  = &manifest.Property{Name: "pm10", Title: "PM10", Unit: manifest.UnitOf("ug/m3")}
	state = &manifest.Property{Name: "state", Title: "状态", TitleEn: "State", Type: manifest.TypeText}
)

// terminal is a valid terminal for tests to change.
func terminal(code, dataset string, properties ...*manifest.Property) manifest.Terminal {
	return manifest.Terminal{Code: code, Name: "站 " + code, Domain: twin.DomainEnvironment, Dataset: dataset, LegalBasis: "环境保护法", Purpose: "空气质量",
		Location: &manifest.Location{Lon: 120.6154, Lat: 31.32454}, Properties: append([]*manifest.Property{}, properties...)}
}

func dataset(code string, open twin.Openness) manifest.Dataset {
	return manifest.Dataset{Code: code, Title: "数据集 " + code, Owner: "苏州市生态环境局", Open: open}
}

// city is a manifest of n terminals with k properties each.
func city(n, k int) *manifest.Manifest {
	m := &manifest.Manifest{Datasets: []manifest.Dataset{dataset("city", twin.OpenUnconditional)}}
	props := make([]*manifest.Property, k)
	for i := range props {
		props[i] = &manifest.Property{Name: fmt.Sprintf("p%02d", i), Title: fmt.Sprintf("量 %d", i), Unit: manifest.UnitOf("ug/m3")}
	}
	for i := range n {
		t := terminal(fmt.Sprintf("t-%06d", i), "city", props...)
		t.District = "320508"
		m.Terminals = append(m.Terminals, t)
	}
	return m
}

func mustImport(t testing.TB, r *Registry, m *manifest.Manifest) ImportResult {
	t.Helper()
	res, err := r.Import(context.Background(), m, ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func at(s string) func() time.Time {
	ts, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return func() time.Time { return ts }
}

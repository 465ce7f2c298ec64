package pebble

import (
	"testing"

	"go.uber.org/goleak"

	"cityhub/twin/series"
	"cityhub/twin/series/seriestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	seriestest.Run(t, func(t *testing.T, dir string) series.Store {
		s, err := Open(dir, Options{MemTableBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

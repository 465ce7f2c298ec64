package registry

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
	"cityhub/twin/registry/manifest/manifesttest"
)

func TestQuery(t *testing.T) {
	ctx := context.Background()
	r := open(t, Options{})
	m := &manifest.Manifest{
		Datasets: []manifest.Dataset{dataset("open", twin.OpenUnconditional), dataset("closed", twin.OpenNone)},
		Terminals: []manifest.Terminal{terminal("b-open", "open", pm25, pm10), terminal("a-closed", "closed", pm25, state),
			terminal("d_mixed", "open", pm25), terminal("c-empty", "open")},
	}
	m.Terminals[1].Sensor = manifest.Sensor{Name: "secret instrument"}
	m.Terminals[3].Location = nil
	mustImport(t, r, m)
	if _, err := r.AutoRegister(ctx, "d_mixed", "x", twin.ResultCount); err != nil {
		t.Fatal(err)
	}
	public := []twin.DatasetID{1}

	things := func(q Query) string {
		page, total, err := r.Things(ctx, q)
		if err != nil {
			return string(twin.ErrorCode(err))
		}
		var out []string
		for _, th := range page {
			out = append(out, th.Code)
		}
		return fmt.Sprint(strings.Join(out, " "), " of ", total)
	}
	streams := func(q Query) string {
		page, total, err := r.Datastreams(ctx, q)
		if err != nil {
			return string(twin.ErrorCode(err))
		}
		var out []string
		for _, ds := range page {
			out = append(out, ds.Terminal+"/"+ds.PropertyName)
		}
		return fmt.Sprint(strings.Join(out, " "), " of ", total)
	}
	props := func(q Query) string {
		page, total, err := r.ObservedProperties(ctx, q)
		if err != nil {
			return string(twin.ErrorCode(err))
		}
		var out []string
		for _, p := range page {
			out = append(out, p.Name)
		}
		return fmt.Sprint(strings.Join(out, " "), " of ", total)
	}
	sensors := func(q Query) string {
		page, total, err := r.Sensors(ctx, q)
		if err != nil {
			return string(twin.ErrorCode(err))
		}
		var out []string
		for _, s := range page {
			out = append(out, s.Name)
		}
		return fmt.Sprint(strings.Join(out, ","), " of ", total)
	}
	locations := func(q Query) string {
		page, total, err := r.Locations(ctx, q)
		if err != nil {
			return string(twin.ErrorCode(err))
		}
		var out []string
		for _, l := range page {
			out = append(out, l.Name)
		}
		return fmt.Sprint(strings.Join(out, ","), " of ", total)
	}
	tests := []struct {
		name string
		list func(Query) string
		q    Query
		want string
	}{
		{"the zero query sees nothing", things, Query{Count: true}, " of 0"},
		{"no dataset sees nothing", streams, Query{Count: true, Datasets: []twin.DatasetID{}}, " of 0"},
		{"all", things, Query{All: true, Count: true}, "b-open a-closed d_mixed c-empty of 4"},
		{"R36 public", things, Query{Datasets: public, Count: true}, "b-open d_mixed of 2"},
		{"by code", things, Query{All: true, OrderBy: "code"}, "a-closed b-open c-empty d_mixed of -1"},
		{"by code, down", things, Query{All: true, OrderBy: "code", Desc: true, Limit: 2, Offset: 1}, "c-empty b-open of -1"},
		{"page with total", things, Query{All: true, Limit: 1, Offset: 1, Count: true}, "a-closed of 4"},
		{"after", things, Query{All: true, After: 2}, "d_mixed c-empty of -1"},
		{"id, not visible", things, Query{Datasets: public, ID: 2}, " of -1"},
		{"contains, any case", things, Query{All: true, Filters: []TextFilter{{Field: "code", Value: "OPEN", Contains: true}}}, "b-open of -1"},
		{"contains takes _ as it is", things, Query{All: true, Filters: []TextFilter{{Field: "code", Value: "_", Contains: true}}}, "d_mixed of -1"},
		{"contains takes % as it is", things, Query{All: true, Filters: []TextFilter{{Field: "code", Value: "%", Contains: true}}}, " of -1"},
		{"equals", things, Query{All: true, Filters: []TextFilter{{Field: "name", Value: "站 a-closed"}}}, "a-closed of -1"},
		{"of a datastream", things, Query{All: true, Datastream: 3}, "a-closed of -1"},
		{"of a datastream, not visible", things, Query{Datasets: public, Datastream: 3}, " of -1"},
		{"of datastreams", things, Query{All: true, Datastreams: []twin.DatastreamID{1, 2, 5}}, "b-open d_mixed of -1"},
		{"of no datastreams", things, Query{All: true, Datastreams: []twin.DatastreamID{}}, " of -1"},
		{"at a location", things, Query{All: true, Location: 2}, "a-closed of -1"},
		{"bad order", things, Query{All: true, OrderBy: "id; DROP TABLE things"}, "invalid"},
		{"bad filter", things, Query{All: true, Filters: []TextFilter{{Field: "state"}}}, "invalid"},
		{"bad limit", things, Query{All: true, Limit: MaxLimit + 1}, "invalid"},
		{"bad offset", things, Query{All: true, Offset: -1}, "invalid"},
		{"datastreams", streams, Query{All: true, Count: true}, "b-open/pm25 b-open/pm10 a-closed/pm25 a-closed/state d_mixed/pm25 d_mixed/x of 6"},
		{"public datastreams", streams, Query{Datasets: public, Count: true}, "b-open/pm25 b-open/pm10 d_mixed/pm25 of 3"},
		{"datastreams of a thing", streams, Query{Datasets: public, Thing: 3}, "d_mixed/pm25 of -1"},
		{"datastreams of things", streams, Query{All: true, Things: []twin.ThingID{2, 3}}, "a-closed/pm25 a-closed/state d_mixed/pm25 d_mixed/x of -1"},
		{"datastreams by code", streams, Query{All: true, OrderBy: "code", Limit: 3}, "a-closed/pm25 a-closed/state b-open/pm25 of -1"},
		{"datastreams of a property", streams, Query{All: true, PropertyName: "pm25"}, "b-open/pm25 a-closed/pm25 d_mixed/pm25 of -1"},
		{"datastreams at a location", streams, Query{All: true, Location: 3}, "d_mixed/pm25 d_mixed/x of -1"},
		{"datastreams of a terminal", streams, Query{All: true, Filters: []TextFilter{{Field: "code", Value: "a-closed"}}}, "a-closed/pm25 a-closed/state of -1"},
		{"properties", props, Query{All: true, Count: true}, "pm25 pm10 state x of 4"},
		{"public properties", props, Query{Datasets: public, Count: true}, "pm25 pm10 of 2"},
		{"properties of a datastream", props, Query{All: true, Datastream: 4}, "state of -1"},
		{"properties of a thing", props, Query{Datasets: public, Thing: 1, OrderBy: "name"}, "pm10 pm25 of -1"},
		{"sensors", sensors, Query{All: true, Count: true}, "not described,secret instrument of 2"},
		{"public sensors", sensors, Query{Datasets: public, Count: true}, "not described of 1"},
		{"sensor of a datastream", sensors, Query{All: true, Datastream: 3}, "secret instrument of -1"},
		{"locations", locations, Query{All: true, Count: true}, "站 b-open,站 a-closed,站 d_mixed of 3"},
		{"public locations", locations, Query{Datasets: public, Count: true}, "站 b-open,站 d_mixed of 2"},
		{"location of a thing", locations, Query{All: true, Thing: 2}, "站 a-closed of -1"},
		{"location of a thing, not visible", locations, Query{Datasets: public, Thing: 2}, " of -1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.list(tt.q); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestListTerminals(t *testing.T) {
	ctx := context.Background()
	r := open(t, Options{})
	m := city(5, 2)
	m.Terminals[1].Domain = twin.DomainTransport
	m.Terminals[2].State = twin.StateMaintenance
	m.Terminals[3].NameEn = "North Temple Pagoda"
	mustImport(t, r, m)
	for _, tt := range []struct {
		q     TerminalQuery
		want  string
		total int
	}{
		{TerminalQuery{}, "0 1 2 3 4", 5},
		{TerminalQuery{Limit: 2}, "0 1", 5},
		{TerminalQuery{Limit: 2, After: "t-000001"}, "2 3", 5},
		{TerminalQuery{Offset: 4}, "4", 5},
		{TerminalQuery{Domain: twin.DomainTransport}, "1", 1},
		{TerminalQuery{State: twin.StateMaintenance}, "2", 1},
		{TerminalQuery{Text: "pagoda"}, "3", 1},
		{TerminalQuery{Text: "站 t-000004"}, "4", 1},
		{TerminalQuery{District: "320508", Dataset: "city", Text: "%"}, "", 0},
	} {
		page, total, err := r.ListTerminals(ctx, tt.q)
		var got []string
		for _, i := range page {
			got = append(got, i.Thing.Code[7:])
			if i.DatastreamCount != 2 || i.Dataset != "city" {
				t.Errorf("%+v", i)
			}
		}
		if strings.Join(got, " ") != tt.want || total != tt.total || err != nil {
			t.Errorf("%+v: %q of %d, %v", tt.q, got, total, err)
		}
	}
	if _, _, err := r.ListTerminals(ctx, TerminalQuery{Limit: -1}); twin.ErrorCode(err) != twin.CodeInvalid {
		t.Errorf("got %v", err)
	}
}

// TestExportIsStable imports a random manifest, exports it, and finds the same;
// importing the export again changes nothing.
func TestExportIsStable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := manifesttest.Manifest(rt)
		for i := range m.Terminals {
			m.Terminals[i].Credentials = nil
		}
		r, err := Open(context.Background(), Options{PasswordIterations: 1})
		if err != nil {
			rt.Fatal(err)
		}
		defer r.Close()
		mustImport(t, r, m)
		got, err := r.Export(context.Background())
		if err != nil {
			rt.Fatal(err)
		}
		if !reflect.DeepEqual(strip(got), strip(m)) {
			rt.Fatalf("exported\n%+v\nwant\n%+v", strip(got), strip(m))
		}
		res := mustImport(t, r, got)
		if res.Unchanged != len(m.Terminals) || res.DatasetsUnchanged != len(m.Datasets) {
			rt.Fatalf("imported again: %+v", res)
		}
	})
}

// strip makes manifests comparable: no pointers to properties.
func strip(m *manifest.Manifest) string {
	var b strings.Builder
	if err := manifest.WriteYAML(&b, m); err != nil {
		return err.Error()
	}
	return b.String()
}

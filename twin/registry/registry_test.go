package registry

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

func TestMigrateEmptyFileAndReopen(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "dir", "registry.db")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(ctx, Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	mustImport(t, r, city(2, 3))
	var mode string
	var sync, keys int
	if err := r.write.QueryRow(`PRAGMA journal_mode`).Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal_mode %q, %v", mode, err)
	}
	if err := r.write.QueryRow(`PRAGMA synchronous`).Scan(&sync); err != nil || sync != 2 {
		t.Errorf("synchronous %d, %v", sync, err)
	}
	if err := r.write.QueryRow(`PRAGMA foreign_keys`).Scan(&keys); err != nil || keys != 1 {
		t.Errorf("foreign_keys %d, %v", keys, err)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Datasets(ctx); twin.ErrorCode(err) != twin.CodeUnavailable {
		t.Errorf("after Close: %v", err)
	}
	if r, err = Open(ctx, Options{Path: path}); err != nil {
		t.Fatal(err)
	}
	ds, err := r.Datastream(ctx, 6)
	if err != nil || ds.Terminal != "t-000001" || ds.PropertyName != "p02" {
		t.Errorf("reopened: %+v, %v", ds, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}

	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9000, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := Open(ctx, Options{Path: path}); twin.ErrorCode(err) != twin.CodeConflict {
		t.Errorf("a schema from the future: %v, %v", r, err)
	}
}

func TestOpenRefusesDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("not a database. "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), Options{Path: path}); twin.ErrorCode(err) != twin.CodeCorrupt {
		t.Errorf("got %v, want CodeCorrupt", err)
	}
}

func TestFileIsPrivateAndNamesAreEscaped(t *testing.T) {
	r, path := openFile(t)
	mustImport(t, r, city(1, 1))
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o600 || st.Size() == 0 {
		t.Errorf("mode %v, %d bytes", st.Mode(), st.Size())
	}
}

func TestImportIsIdempotentAndKeepsIDs(t *testing.T) {
	ctx := context.Background()
	r, _ := openFile(t)
	m := &manifest.Manifest{Datasets: []manifest.Dataset{dataset("air", "")}, Terminals: []manifest.Terminal{terminal("a-1", "air", pm25, pm10, state), terminal("a-2", "air", pm25)}}
	m.Terminals[0].Sensor = manifest.Sensor{Name: "BAM 1020", Metadata: "https://example.org/bam.pdf"}
	m.Terminals[0].Extra = map[string]any{"vendor": "甲", "n": 3.0}
	m.Terminals[1].Credentials = &manifest.Credentials{Username: "a2", Password: "secret"}
	first := mustImport(t, r, m)
	if first.Created != 2 || first.DatasetsCreated != 1 || first.Datastreams != 4 {
		t.Fatalf("first: %+v", first)
	}
	// R32: a dataset that says nothing of its openness is not open.
	if d, err := r.Dataset(ctx, 1); err != nil || d.Open != twin.OpenNone {
		t.Errorf("dataset %+v, %v", d, err)
	}
	v := r.DatasetVersion()
	m.Terminals[0].Properties[0], m.Terminals[0].Properties[1] = m.Terminals[0].Properties[1], m.Terminals[0].Properties[0]
	again := mustImport(t, r, m)
	if again.Unchanged != 2 || again.Created+again.Updated != 0 || again.DatasetsUnchanged != 1 || r.DatasetVersion() != v {
		t.Fatalf("again: %+v", again)
	}
	old, err := r.Terminal(ctx, "a-1")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]twin.DatastreamID{}
	for _, ds := range old.Datastreams() {
		ids[ds.PropertyName] = ds.ID
	}

	// pm10 goes, pm1 comes, the unit of pm25 and the name change.
	mg := *pm25
	mg.Unit = manifest.UnitOf("mg/m3")
	pm1 := &manifest.Property{Name: "pm1", Title: "PM1", Unit: manifest.UnitOf("ug/m3")}
	m.Terminals[0] = terminal("a-1", "air", &mg, pm1, state)
	m.Terminals[0].Name = "北寺塔"
	m.Terminals[1].Properties = []*manifest.Property{&mg}
	res := mustImport(t, r, m)
	if res.Updated != 2 || res.Unchanged != 0 || len(res.Warnings) != 3 {
		t.Fatalf("update: %+v", res)
	}
	if !old.Stale() {
		t.Error("the old snapshot is not stale")
	}
	now, err := r.Terminal(ctx, "a-1")
	if err != nil || now.Stale() || now == old {
		t.Fatalf("%+v, %v", now, err)
	}
	if ds := now.Datastream("pm25"); ds.ID != ids["pm25"] || ds.Unit.Code != "mg/m3" || ds.Name != "北寺塔 · PM2.5" || ds.ThingName != "北寺塔" {
		t.Errorf("pm25: %+v", ds)
	}
	if now.Datastream("pm10") != nil || now.DatastreamBytes([]byte("pm1")) == nil || len(now.Datastreams()) != 3 {
		t.Errorf("properties: %+v", now.Datastreams())
	}
	if ds, err := r.Datastream(ctx, ids["pm10"]); err != nil || ds.PropertyName != "pm10" {
		t.Errorf("the retired Datastream is gone: %v", err)
	}
	// pm10 comes back with its id.
	m.Terminals[0] = terminal("a-1", "air", &mg, pm1, state, pm10)
	mustImport(t, r, m)
	if now, err = r.Terminal(ctx, "a-1"); err != nil || now.Datastream("pm10") == nil || now.Datastream("pm10").ID != ids["pm10"] {
		t.Errorf("pm10 did not come back with id %d: %v", ids["pm10"], err)
	}
	// The sensor that nothing uses any more is gone.
	if s, _, err := r.Sensors(ctx, Query{All: true}); err != nil || len(s) != 1 || s[0].Name != unknownSensor {
		t.Errorf("sensors %+v, %v", s, err)
	}
}

func TestImportIsAllOrNothing(t *testing.T) {
	ctx := context.Background()
	r := open(t, Options{})
	m := city(3, 2)
	text := *m.Terminals[1].Properties[0]
	mustImport(t, r, &manifest.Manifest{Datasets: m.Datasets, Terminals: m.Terminals[1:2]})
	text.Unit, text.Type = manifest.Unit{}, manifest.TypeText
	bad := city(3, 2)
	bad.Datasets[0].Title = "anders"
	bad.Terminals[1].Properties = []*manifest.Property{&text}
	bad.Terminals[2].Dataset, bad.Terminals[2].Line = "nowhere", 77
	_, err := r.Import(ctx, bad, ImportOptions{File: "city.yaml"})
	var me *manifest.Error
	if !errors.As(err, &me) || len(me.Problems) != 2 || twin.ErrorCode(err) != twin.CodeInvalid {
		t.Fatalf("got %v", err)
	}
	if p := me.Problems[1]; p.Line != 77 || p.Field != "terminals[2].dataset" || p.Found != `"nowhere"` {
		t.Errorf("problem %+v", p)
	}
	if !strings.Contains(err.Error(), "city.yaml:77: terminals[2].dataset") {
		t.Errorf("message %q", err.Error())
	}
	if p := me.Problems[0]; p.Field != "terminals[1].properties[0].type" {
		t.Errorf("problem %+v", p)
	}
	if _, total, err := r.ListTerminals(ctx, TerminalQuery{}); err != nil || total != 1 {
		t.Errorf("%d terminals, %v", total, err)
	}
	if d, err := r.DatasetByCode(ctx, "city"); err != nil || d.Title == "anders" {
		t.Errorf("dataset %+v, %v", d, err)
	}
	if n := r.cache.last.Load(); n != 2 {
		t.Errorf("last id %d, want 2", n)
	}
	// The ids that the undone import took are given again: no gap.
	mustImport(t, r, m)
	if tm, err := r.Terminal(ctx, "t-000000"); err != nil || tm.Datastream("p00").ID != 3 {
		t.Errorf("%v", err)
	}
}

func TestImportDryRunChangesNothing(t *testing.T) {
	ctx := context.Background()
	r := open(t, Options{})
	var calls []int
	res, err := r.Import(ctx, city(3, 2), ImportOptions{DryRun: true, Progress: func(done, total int) { calls = append(calls, done, total) }})
	if err != nil || res.Created != 3 {
		t.Fatalf("%+v, %v", res, err)
	}
	if len(calls) != 2 || calls[0] != 3 || calls[1] != 3 {
		t.Errorf("progress %v", calls)
	}
	if _, err := r.Terminal(ctx, "t-000000"); twin.ErrorCode(err) != twin.CodeNotFound {
		t.Errorf("got %v", err)
	}
}

func TestImportWarnsOfMissingLegalBasisR08(t *testing.T) {
	r := open(t, Options{})
	m := city(3, 1)
	m.Terminals[0].LegalBasis = ""
	m.Terminals[1].Purpose, m.Terminals[1].Simulated = "", true // needs none
	res := mustImport(t, r, m)
	if len(res.Warnings) != 1 || !strings.HasPrefix(res.Warnings[0], "1 terminals have no legalBasis") {
		t.Errorf("warnings %q", res.Warnings)
	}
}

func TestDatasetNeedsOwnerR01(t *testing.T) {
	ctx := context.Background()
	r := open(t, Options{})
	_, err := r.PutDataset(ctx, twin.Dataset{Code: "air", Title: "空气"})
	var te *twin.Error
	if !errors.As(err, &te) || te.Code != twin.CodeInvalid || te.Field != "owner" {
		t.Fatalf("got %v", err)
	}
	m := city(1, 1)
	m.Datasets[0].Owner = " "
	if _, err := r.Import(ctx, m, ImportOptions{}); !errors.As(err, &te) || te.Code != twin.CodeInvalid || te.Field != "datasets[0].owner" {
		t.Fatalf("got %v", err)
	}
}

func TestDatasetClassAndVersionR32(t *testing.T) {
	ctx := context.Background()
	r := open(t, Options{})
	v := r.DatasetVersion()
	d, err := r.PutDataset(ctx, twin.Dataset{Code: "air", Title: "空气", Owner: "局"})
	if err != nil || d.ID != 1 || d.Open != twin.OpenNone {
		t.Fatalf("%+v, %v", d, err)
	}
	if r.DatasetVersion() == v {
		t.Error("the version did not change with a new Dataset")
	}
	v = r.DatasetVersion()
	if _, err := r.PutDataset(ctx, d); err != nil || r.DatasetVersion() != v {
		t.Errorf("the same again: version %d, %v", r.DatasetVersion(), err)
	}
	d.Open = twin.OpenConditional
	if _, err := r.PutDataset(ctx, d); err != nil || r.DatasetVersion() == v {
		t.Errorf("opened: version %d, %v", r.DatasetVersion(), err)
	}
	if got, err := r.Dataset(ctx, 1); err != nil || got != d {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := r.PutDataset(ctx, twin.Dataset{Code: "x", Title: "x", Owner: "x", Open: "public"}); twin.ErrorCode(err) != twin.CodeInvalid {
		t.Errorf("got %v", err)
	}
	if _, err := r.Dataset(ctx, 9); twin.ErrorCode(err) != twin.CodeNotFound {
		t.Errorf("got %v", err)
	}
	// A Datastream that changes its Dataset changes the version.
	if _, err := r.PutDataset(ctx, twin.Dataset{Code: "other", Title: "x", Owner: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.PutTerminal(ctx, terminal("a", "air", pm25)); err != nil {
		t.Fatal(err)
	}
	v = r.DatasetVersion()
	tm := terminal("a", "other", pm25)
	if _, err := r.PutTerminal(ctx, tm); err != nil || r.DatasetVersion() == v {
		t.Errorf("moved: version %d, %v", r.DatasetVersion(), err)
	}
	if ds, err := r.Datastream(ctx, 1); err != nil || ds.Dataset != 2 {
		t.Errorf("%+v, %v", ds, err)
	}
}

func TestPutRetireAndInfo(t *testing.T) {
	ctx := context.Background()
	r := open(t, Options{Clock: at("2026-01-02T03:04:05Z")})
	if _, err := r.PutTerminal(ctx, terminal("a", "air", pm25)); twin.ErrorCode(err) != twin.CodeInvalid {
		t.Fatalf("without its dataset: %v", err)
	}
	if _, err := r.PutDataset(ctx, twin.Dataset{Code: "air", Title: "空气", Owner: "局"}); err != nil {
		t.Fatal(err)
	}
	h := 12.5
	in := terminal("a", "air", pm25, state)
	in.Location.Height, in.Location.HeightDatum = &h, "1985"
	in.Extra = map[string]any{"k": "v"}
	in.Credentials = &manifest.Credentials{Username: "u", Password: "hunter2hunter2"}
	res, err := r.PutTerminal(ctx, in)
	if err != nil || !res.Created || !res.Changed {
		t.Fatalf("%+v, %v", res, err)
	}
	if res, err = r.PutTerminal(ctx, in); err != nil || res.Created || res.Changed {
		t.Fatalf("the same again: %+v, %v", res, err)
	}
	snap, err := r.Terminal(ctx, "a")
	if err != nil || !snap.HasCredential || snap.Thing.Properties["k"] != "v" || !snap.Thing.Updated.Equal(at("2026-01-02T03:04:05Z")()) {
		t.Fatalf("%+v, %v", snap, err)
	}
	info, err := r.TerminalInfo(ctx, "a")
	if err != nil || info.Username != "u" || info.Dataset != "air" || len(info.Datastreams) != 2 || info.DatastreamCount != 2 || info.LegalBasis == "" {
		t.Fatalf("%+v, %v", info, err)
	}
	if l := info.Location; l == nil || *l.HeightMetres != 12.5 || l.HeightDatum != "1985" || l.Lon != 120.6154 {
		t.Errorf("location %+v", l)
	}
	if err := r.RetireTerminal(ctx, "a"); err != nil || !snap.Stale() {
		t.Fatalf("stale %v, %v", snap.Stale(), err)
	}
	if snap, err = r.Terminal(ctx, "a"); err != nil || snap.Thing.State != twin.StateRetired {
		t.Errorf("R50: %+v, %v", snap, err)
	}
	if _, err := r.Authenticate(ctx, "u", "hunter2hunter2"); twin.ErrorCode(err) != twin.CodeForbidden {
		t.Errorf("R50: a retired terminal logs in: %v", err)
	}
	if err := r.RetireTerminal(ctx, "nobody"); twin.ErrorCode(err) != twin.CodeNotFound {
		t.Errorf("got %v", err)
	}
	if _, err := r.TerminalInfo(ctx, "nobody"); twin.ErrorCode(err) != twin.CodeNotFound {
		t.Errorf("got %v", err)
	}
	// Removing the place removes the Location; the id of the next is new.
	in.Location = nil
	if _, err := r.PutTerminal(ctx, in); err != nil {
		t.Fatal(err)
	}
	if ds, _ := r.Datastream(ctx, 1); ds.Lon == ds.Lon {
		t.Errorf("lon %v, want NaN", ds.Lon)
	}
	in.Location = &manifest.Location{Lon: 120.6, Lat: 31.3}
	if _, err := r.PutTerminal(ctx, in); err != nil {
		t.Fatal(err)
	}
	if l, _, err := r.Locations(ctx, Query{All: true}); err != nil || len(l) != 1 || l[0].ID != 2 {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestCredentials(t *testing.T) {
	ctx := context.Background()
	r, path := openFile(t)
	m := city(2, 1)
	m.Terminals[0].Credentials = &manifest.Credentials{Username: "u0", Password: "correct horse"}
	mustImport(t, r, m)
	for range 2 { // derived, then remembered
		if code, err := r.Authenticate(ctx, "u0", "correct horse"); err != nil || code != "t-000000" {
			t.Fatalf("%q, %v", code, err)
		}
	}
	for _, c := range [][2]string{{"u0", "correct horsf"}, {"u0", ""}, {"nobody", "correct horse"}, {"", ""}} {
		if code, err := r.Authenticate(ctx, c[0], c[1]); twin.ErrorCode(err) != twin.CodeUnauthorized || code != "" {
			t.Errorf("%q: %q, %v", c, code, err)
		}
	}
	// Another password: the old one ends at once.
	m.Terminals[0].Credentials = &manifest.Credentials{Username: "u0", Password: "battery staple"}
	snap, _ := r.Terminal(ctx, "t-000000")
	if res := mustImport(t, r, m); res.Updated != 1 || res.Unchanged != 1 || !snap.Stale() {
		t.Fatalf("%+v", res)
	}
	if _, err := r.Authenticate(ctx, "u0", "correct horse"); twin.ErrorCode(err) != twin.CodeUnauthorized {
		t.Errorf("the old password: %v", err)
	}
	// A manifest without credentials leaves them.
	m.Terminals[0].Credentials = nil
	if res := mustImport(t, r, m); res.Unchanged != 2 {
		t.Fatalf("%+v", res)
	}
	if _, err := r.Authenticate(ctx, "u0", "battery staple"); err != nil {
		t.Error(err)
	}
	// A user name belongs to one terminal.
	m.Terminals[1].Credentials = &manifest.Credentials{Username: "u0", Password: "x"}
	if _, err := r.Import(ctx, m, ImportOptions{}); twin.ErrorCode(err) != twin.CodeInvalid || !strings.Contains(err.Error(), "terminals[1].credentials.username") || !strings.Contains(err.Error(), "t-000000") {
		t.Errorf("got %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("battery staple")) || !bytes.Contains(b, []byte("u0")) {
		t.Error("the file shows the password, or nothing")
	}
}

func TestTokens(t *testing.T) {
	ctx := context.Background()
	now := at("2026-01-01T00:00:00Z")()
	path := filepath.Join(t.TempDir(), "r.db")
	r := open(t, Options{Path: path, Clock: func() time.Time { return now }})
	s1, err := r.CreateToken(ctx, "first start", RoleOperator, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	s2, err := r.CreateToken(ctx, "a week", RoleOperator, now.Add(7*24*time.Hour))
	if err != nil || s1 == s2 {
		t.Fatal(err)
	}
	if tk, err := r.VerifyToken(ctx, s1); err != nil || tk.Name != "first start" || tk.Role != RoleOperator || !tk.Expires.IsZero() {
		t.Errorf("%+v, %v", tk, err)
	}
	now = now.Add(7 * 24 * time.Hour)
	for _, s := range []string{s2, s1 + "x", "", "cityhub_"} {
		if _, err := r.VerifyToken(ctx, s); twin.ErrorCode(err) != twin.CodeUnauthorized {
			t.Errorf("%q: %v", s, err)
		}
	}
	for range 2 {
		if err := r.RevokeToken(ctx, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.VerifyToken(ctx, s1); twin.ErrorCode(err) != twin.CodeUnauthorized || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("got %v", err)
	}
	if err := r.RevokeToken(ctx, 5); twin.ErrorCode(err) != twin.CodeNotFound {
		t.Errorf("got %v", err)
	}
	if l, err := r.ListTokens(ctx); err != nil || len(l) != 2 || !l[0].Revoked.Equal(now) {
		t.Errorf("%+v, %v", l, err)
	}
	for _, c := range []struct {
		name, role string
		expires    time.Time
		field      string
	}{{"", RoleOperator, time.Time{}, "name"}, {"x", "king", time.Time{}, "role"}, {"x", RoleOperator, now, "expires"}} {
		_, err := r.CreateToken(ctx, c.name, c.role, c.expires)
		var te *twin.Error
		if !errors.As(err, &te) || te.Field != c.field {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || bytes.Contains(b, []byte(s1)) {
		t.Errorf("the file shows the secret: %v", err)
	}
}

package deptest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// TestModule checks this module itself.
func TestModule(t *testing.T) {
	m, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	// A check that looked at the wrong folder would find nothing to object to.
	for _, dir := range []string{"twin", "twin/block", "internal/deptest"} {
		if p := m.byDir[dir]; p == nil || len(p.Files) == 0 {
			t.Fatalf("package %s was not read: is %s the root of the module?", dir, root)
		}
	}
	for _, v := range Check(m, CityHub()) {
		t.Errorf("%s\n\tif the rule is wrong, change internal/deptest/rules.go and docs/ARCHITECTURE.md together", v)
	}
}

// TestPlantedViolations plants one violation after the other into a module
// that has none and expects exactly that one to be reported with its reason.
func TestPlantedViolations(t *testing.T) {
	tests := []struct {
		name string
		file string // planted at this path
		src  string
		want string // what the report says, "" for nothing
		why  string // a part of the reason
	}{
		{"nothing", "twin/more.go", "package twin\n\nimport _ \"cityhub/spatial\"", "", ""},
		{"spatial knows twin", "spatial/x.go", "package spatial\n\nimport _ \"cityhub/twin\"", "spatial → twin", "geometry"},
		{"twin knows a store", "twin/x.go", "package twin\n\nimport _ \"cityhub/twin/block\"", "twin → twin/block", "vocabulary"},
		{"twin knows ingest", "twin/state/x.go", "package state\n\nimport _ \"cityhub/ingest\"", "twin/state → ingest", "imports run"},
		{"ingest meets streams", "ingest/x.go", "package ingest\n\nimport _ \"cityhub/streams/log\"", "ingest → streams/log", "never meet"},
		{"ingest meets streams through another", "ingest/x.go", "package ingest\n\nimport _ \"cityhub/internal/glue\"", "ingest → internal/glue → streams/log", "never meet"},
		{"streams meet ingest", "streams/x.go", "package streams\n\nimport _ \"cityhub/ingest\"", "streams → ingest", "never meet"},
		{"a store knows a handler", "twin/state/x.go", "package state\n\nimport _ \"cityhub/internal/web\"", "twin/state → internal/web", "stores never import handlers"},
		{"a store speaks HTTP", "twin/state/x.go", "package state\n\nimport _ \"net/http\"", "twin/state → net/http", "stores never import handlers"},
		{"web knows more than twin", "internal/web/x.go", "package web\n\nimport _ \"cityhub/twin/state\"", "internal/web → twin/state", "every HTTP handler"},
		{"web knows who asks", "internal/web/x.go", "package web\n\nimport _ \"cityhub/twin/policy\"", "", ""},
		{"a package knows a program", "streams/x.go", "package streams\n\nimport _ \"cityhub/cmd/cityhub/config\"", "streams → cmd/cityhub/config", ""},
		{"the viewer knows the hub", "viewer/x.go", "package viewer\n\nimport _ \"cityhub/twin\"", "viewer → twin", "over HTTP"},
		{"configuration outside cmd", "ingest/x.go", "package ingest\n\nimport _ \"github.com/knadh/koanf/v2\"", "ingest → github.com/knadh/koanf/v2", "read configuration"},
		{"environment outside cmd", "ingest/x.go", "package ingest\n\nimport env \"os\"\n\nfunc f() string { return env.Getenv(\"X\") }", "use of os.Getenv in ingest", "environment"},
		{"environment in cmd", "cmd/cityhub/x.go", "package main\n\nimport \"os\"\n\nfunc f() string { return os.Getenv(\"X\") }", "", ""},
		{"environment in a test", "ingest/x_test.go", "package ingest\n\nimport \"os\"\n\nfunc f() string { return os.Getenv(\"X\") }", "", ""},
		{"exit outside cmd", "ingest/x.go", "package ingest\n\nimport \"os\"\n\nfunc f() { os.Exit(1) }", "use of os.Exit in ingest", "returns errors"},
		{"NATS outside the log", "streams/x.go", "package streams\n\nimport _ \"github.com/nats-io/nats.go\"", "streams → github.com/nats-io/nats.go", "only the log package"},
		{"Pebble outside its store", "twin/state/x.go", "package state\n\nimport _ \"github.com/cockroachdb/pebble/v2\"", "twin/state → github.com/cockroachdb/pebble/v2", "contract"},
		{"PostgreSQL outside its store", "twin/state/x.go", "package state\n\nimport _ \"github.com/jackc/pgx/v5\"", "twin/state → github.com/jackc/pgx/v5", "PostGIS"},
		{"SQLite outside the registry", "twin/state/x.go", "package state\n\nimport _ \"modernc.org/sqlite\"", "twin/state → modernc.org/sqlite", "registry"},
		{"goose outside the registry", "cmd/cityhub/x.go", "package main\n\nimport _ \"github.com/pressly/goose/v3\"", "cmd/cityhub → github.com/pressly/goose/v3", "registry"},
		{"a second WebSocket server", "cmd/cityhub/x.go", "package main\n\nimport \"github.com/gorilla/websocket\"\n\nvar u websocket.Upgrader", "use of github.com/gorilla/websocket.Upgrader", "one place accepts"},
		{"a WebSocket client in cmd", "cmd/cityhub/x.go", "package main\n\nimport \"github.com/gorilla/websocket\"\n\nvar d websocket.Dialer", "", ""},
		{"a prepared frame", "streams/x.go", "package streams\n\nimport \"github.com/gorilla/websocket\"\n\nvar f *websocket.PreparedMessage", "", ""},
		{"a server beside streams/ws", "streams/x.go", "package streams\n\nimport ws \"github.com/gorilla/websocket\"\n\nvar u ws.Upgrader", "use of github.com/gorilla/websocket.Upgrader", "one place accepts"},
		{"spatial's handlers use web", "spatial/features/x.go", "// Package features is a handler.\npackage features\n\nimport _ \"cityhub/internal/web\"", "", ""},
		{"WebSocket in the domain", "twin/state/x.go", "package state\n\nimport _ \"github.com/gorilla/websocket\"", "twin/state → github.com/gorilla/websocket", "streams/ws"},
		{"cgo", "twin/state/x.go", "package state\n\nimport \"C\"", "twin/state → C", "pure Go"},
		{"testing in the program", "twin/state/x.go", "package state\n\nimport _ \"testing\"", "twin/state → testing", "stay out of the program"},
		{"testing in a conformance suite", "twin/series/seriestest/x.go", "// Package seriestest is a suite.\npackage seriestest\n\nimport _ \"testing\"", "", ""},
		{"init", "twin/state/x.go", "package state\n\nfunc init() {}", "func init", "because it was imported"},
		{"a method named init", "twin/state/x.go", "package state\n\ntype t struct{}\n\nfunc (t) init() {}", "", ""},
		{"a file of another system", "twin/state/x_windows.go", "//go:build windows\n\npackage state\n\nfunc init() {}", "func init", "because it was imported"},
		{"a drawer", "internal/util/x.go", "// Package util has everything.\npackage util", "package util", "one responsibility"},
		{"no package comment", "internal/quiet/x.go", "package quiet", "package quiet has no package comment", "Package name"},
		{"another package's comment", "internal/quiet/x.go", "// Package loud is not this one.\npackage quiet", "package quiet has no package comment", "Package name"},
		{"ingest's tests use the log", "ingest/x_test.go", "package ingest_test\n\nimport _ \"cityhub/streams/log\"", "", ""},
		{"ingest's tests use WebSocket", "ingest/x_test.go", "package ingest_test\n\nimport _ \"cityhub/streams\"", "ingest → streams", "never meet"},
		{"a test's imports are not its package's", "twin/state/x_test.go", "package state\n\nimport _ \"testing\"", "", ""},
		{"the go command ignores it", "twin/state/testdata/x.go", "package state\n\nfunc init() {}", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := cleanModule(t)
			write(t, dir, tt.file, tt.src)
			m, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			got := Check(m, CityHub())
			if tt.want == "" {
				if len(got) != 0 {
					t.Fatalf("reported %v, want nothing", got)
				}
				return
			}
			if len(got) == 0 {
				t.Fatalf("reported nothing, want %q", tt.want)
			}
			// One planted import can break several rules, and break them for
			// its importers as well; one report must be the expected one.
			found := false
			for _, v := range got {
				if v.Line < 1 || v.Why == "" {
					t.Errorf("reported %v without a line or a reason", v)
				}
				found = found || v.File == tt.file && strings.Contains(v.What, tt.want) && strings.Contains(v.Why, tt.why)
			}
			if !found {
				t.Errorf("reported %v\nwant %q because … %q", got, tt.want, tt.why)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "go.mod") {
		t.Errorf("Load of a folder without go.mod: %v, want an error that names go.mod", err)
	}
	dir := cleanModule(t)
	write(t, dir, "twin/broken.go", "pakage twin")
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "broken.go") {
		t.Errorf("Load with a broken file: %v, want an error that names the file", err)
	}
}

// cesiumImport finds an import of the 3D engine in TypeScript or Vue source.
var cesiumImport = regexp.MustCompile(`(?m)(from|import)\s*\(?\s*['"](cesium|@cesium/[^'"]+)['"]`)

// TestCesiumOnlyInScene keeps viewer/src/{model,state,…} free of the 3D
// engine, so that they are tested without a browser.
func TestCesiumOnlyInScene(t *testing.T) {
	if !cesiumImport.MatchString("import { Viewer } from 'cesium'") || !cesiumImport.MatchString(`await import("@cesium/engine")`) || cesiumImport.MatchString("import { x } from './cesium-free'") {
		t.Fatal("the pattern does not tell imports of Cesium from others")
	}
	src := filepath.Join(root, "viewer", "src")
	if _, err := os.Stat(src); os.IsNotExist(err) {
		t.Skip("there is no viewer/src")
	}
	err := filepath.WalkDir(src, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(src, name)
		if err != nil {
			return err
		}
		if ext := filepath.Ext(rel); ext != ".ts" && ext != ".vue" || strings.HasPrefix(filepath.ToSlash(rel), "scene/") {
			return nil
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if loc := cesiumImport.FindIndex(b); loc != nil {
			t.Errorf("viewer/src/%s:%d: imports Cesium: only viewer/src/scene may, because everything else is tested without the 3D engine", filepath.ToSlash(rel), 1+strings.Count(string(b[:loc[0]]), "\n"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// cleanModule is a small module that breaks no rule.
func cleanModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for file, src := range map[string]string{
		"go.mod":                       "module cityhub\n\ngo 1.26.0",
		"spatial/doc.go":               "// Package spatial is geometry.\npackage spatial",
		"twin/doc.go":                  "// Package twin is the domain.\npackage twin",
		"twin/block/doc.go":            "// Package block is a batch.\npackage block\n\nimport _ \"cityhub/twin\"",
		"twin/state/doc.go":            "// Package state is the latest.\npackage state\n\nimport _ \"cityhub/twin/block\"",
		"twin/policy/doc.go":           "// Package policy is the gate.\npackage policy\n\nimport _ \"cityhub/twin/state\"",
		"ingest/doc.go":                "// Package ingest takes readings.\npackage ingest\n\nimport _ \"cityhub/twin/block\"",
		"streams/doc.go":               "// Package streams shows readings.\npackage streams\n\nimport _ \"cityhub/twin/state\"",
		"streams/log/doc.go":           "// Package log keeps batches.\npackage log\n\nimport _ \"cityhub/twin/block\"",
		"viewer/doc.go":                "// Package viewer is the pages.\npackage viewer\n\nimport _ \"embed\"",
		"internal/web/doc.go":          "// Package web is for handlers.\npackage web\n\nimport _ \"cityhub/twin\"",
		"internal/glue/doc.go":         "// Package glue is innocent by itself.\npackage glue\n\nimport _ \"cityhub/streams/log\"",
		"cmd/cityhub/main.go":          "// Command cityhub is the hub.\npackage main\n\nimport (\n\t_ \"cityhub/ingest\"\n\t_ \"cityhub/streams/log\"\n)",
		"cmd/cityhub/config/doc.go":    "// Package config reads the file.\npackage config\n\nimport _ \"github.com/knadh/koanf/v2\"",
		"node_modules/x/bad.go":        "package util\n\nfunc init() {}",
		"tools/go.mod":                 "module other",
		"tools/bad.go":                 "package util\n\nfunc init() {}",
		"internal/testkit/doc.go":      "// Package testkit is for tests.\npackage testkit\n\nimport (\n\t_ \"os\"\n\t_ \"testing\"\n)",
		"twin/series/pebble/pebble.go": "// Package pebble is a store.\npackage pebble\n\nimport _ \"github.com/cockroachdb/pebble/v2\"",
	} {
		write(t, dir, file, src)
	}
	return dir
}

func write(t *testing.T, dir, file, src string) {
	t.Helper()
	name := filepath.Join(dir, filepath.FromSlash(file))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(src+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

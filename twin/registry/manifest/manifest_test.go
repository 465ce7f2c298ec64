package manifest_test

import (
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
	"cityhub/twin/registry/manifest/manifesttest"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden parses every file of testdata. A good file's golden is the
// manifest as JSON, a bad file's the whole error message.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		if strings.HasSuffix(file, ".golden") {
			continue
		}
		n++
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			m, err := manifest.Parse(filepath.Base(file), f)
			var got string
			switch {
			case err != nil:
				got = err.Error() + "\n"
				if m != nil {
					t.Error("a manifest and an error")
				}
				var te *twin.Error
				if !errors.As(err, &te) || te.Code != twin.CodeInvalid || te.Message == "" {
					t.Errorf("the error is %#v", te)
				}
			default:
				b, err := json.MarshalIndent(m, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				got = string(b) + "\n"
			}
			if bad := strings.HasPrefix(filepath.Base(file), "bad"); bad != (err != nil) {
				t.Errorf("bad file: %v, error: %v", bad, err)
			}
			golden := file + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
	if n < 8 {
		t.Errorf("only %d files", n)
	}
}

// TestFormatExamples parses the examples of FORMAT.md.
func TestFormatExamples(t *testing.T) {
	doc, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(doc), "```")
	n := 0
	for i := 1; i < len(parts); i += 2 {
		ext, body, _ := strings.Cut(parts[i], "\n")
		if ext != "yaml" && ext != "csv" {
			continue
		}
		n++
		m, err := manifest.Parse("FORMAT."+ext, strings.NewReader(body))
		if err != nil {
			t.Error(err)
		} else if len(m.Terminals) == 0 {
			t.Errorf("example %d has no terminal", n)
		}
	}
	if n < 2 {
		t.Errorf("%d examples", n)
	}
}

func TestYAMLAndCSVSayTheSame(t *testing.T) {
	var both []string
	for _, name := range []string{"good.csv", "good-as-csv.yaml"} {
		f, err := os.Open("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := manifest.Parse(name, f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		m.Datasets = nil // CSV has none
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, string(b))
	}
	if both[0] != both[1] {
		t.Errorf("CSV  %s\nYAML %s", both[0], both[1])
	}
}

func TestProblemsAreBounded(t *testing.T) {
	for _, file := range []string{"many.yaml", "many.csv"} {
		src := "terminals:\n" + strings.Repeat("  - {code: a b, foo: 1}\n", 10_000)
		if file == "many.csv" {
			src = "code,name,domain,dataset,property,title\n" + strings.Repeat("a b,,x,,,\n", 10_000)
		}
		_, err := manifest.Parse(file, strings.NewReader(src))
		var me *manifest.Error
		if !errors.As(err, &me) || len(me.Problems) != manifest.MaxProblems && file == "many.yaml" {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	bomb := "terminals:\n- code: a\n  extra:\n    a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'i'; c++ {
		bomb += "    " + string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+",", 10) + "]\n"
	}
	for _, tt := range []struct{ file, src, want string }{
		{"x.txt", "", "neither a .yaml nor a .csv"},
		{"x", "", "neither a .yaml nor a .csv"},
		{"x.yaml", "", "x.yaml:1: found an empty file"},
		{"x.csv", "", "x.csv:1: found an empty file"},
		{"x.yaml", "a: b: c", "x.yaml:1: found text that is not YAML"},
		{"x.yaml", "[1, 2]", `x.yaml:1: found a list, expected a mapping`},
		{"x.yaml", "terminals: []\n---\nterminals: []\n", "a second document"},
		{"x.yaml", "terminals:\n- code: \xff\n", "x.yaml:2: found the byte 0xff, expected UTF-8"},
		{"x.csv", "code\n\"a", "x.csv:"},
		{"x.csv", "code;name\na;b\n", "columns separated by commas"},
		{"bomb.yaml", bomb, "at most 10000 values"},
		{"self.yaml", "terminals:\n- code: a\n  extra: &x {y: *x}\n", ""},
	} {
		_, err := manifest.Parse(tt.file, strings.NewReader(tt.src))
		if twin.ErrorCode(err) != twin.CodeInvalid || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.file, err, tt.want)
		}
	}
}

func TestPasswordsAreNotShown(t *testing.T) {
	for _, src := range []string{
		"terminals:\n- credentials: hunter2\n", "terminals:\n- credentials: {username: u, password: [hunter2]}\n", "terminals:\n- credentials: {username: u, password: \"hunter2\\u0001\"}\n",
	} {
		_, err := manifest.ParseYAML("x.yaml", strings.NewReader(src))
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "credentials") {
			t.Errorf("%q: %v", src, err)
		}
	}
}

func TestUnitJSON(t *testing.T) {
	for src, want := range map[string]manifest.Unit{
		`"ug/m3"`:                              {Name: "microgram per cubic metre", Symbol: "µg/m³", UCUM: "ug/m3"},
		`"{x}/d"`:                              {Name: "{x}/d", Symbol: "{x}/d", UCUM: "{x}/d"},
		`{"name":"a","symbol":"b","ucum":"c"}`: {Name: "a", Symbol: "b", UCUM: "c"},
	} {
		var u manifest.Unit
		if err := json.Unmarshal([]byte(src), &u); err != nil || u != want {
			t.Errorf("%s: %+v, %v", src, u, err)
		}
	}
	var u manifest.Unit
	if err := json.Unmarshal([]byte(`{"code":"x"}`), &u); err == nil {
		t.Error("an unknown key passed")
	}
}

func TestNormalizeKeepsSharedPropertiesAsTheyAre(t *testing.T) {
	p := &manifest.Property{Name: "x", Title: "x", Unit: manifest.UnitOf("1")}
	m := &manifest.Manifest{Terminals: []manifest.Terminal{{Properties: []*manifest.Property{p}}, {Properties: []*manifest.Property{p}}}}
	m.Normalize()
	if p.Type != "" {
		t.Error("the caller's property was changed")
	}
	if a, b := m.Terminals[0].Properties[0], m.Terminals[1].Properties[0]; a != b || a.Type != manifest.TypeMeasurement {
		t.Errorf("%+v, %+v", a, b)
	}
}

func TestNormalizeMakesNegativeZeroZero(t *testing.T) {
	zero := math.Copysign(0, -1)
	in := &manifest.Location{Lon: 120, Lat: zero, Height: &zero}
	tm := manifest.Terminal{Location: in}
	tm.Normalize()
	if math.Signbit(tm.Location.Lat) || math.Signbit(*tm.Location.Height) || !math.Signbit(in.Lat) || !math.Signbit(*in.Height) {
		t.Errorf("%+v, %+v", tm.Location, in)
	}
}

// TestWriteYAMLIsStable: what was written reads back as it was.
func TestWriteYAMLIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := manifesttest.Manifest(t)
		var b strings.Builder
		if err := manifest.WriteYAML(&b, m); err != nil {
			t.Fatal(err)
		}
		got, err := manifest.ParseYAML("m.yaml", strings.NewReader(b.String()))
		if err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		for i := range got.Datasets {
			got.Datasets[i].Line = 0
		}
		for i := range got.Terminals {
			got.Terminals[i].Line = 0
		}
		if len(m.Terminals) == 0 {
			m.Terminals, got.Terminals = nil, nil
		}
		if !reflect.DeepEqual(got, m) {
			t.Fatalf("wrote\n%s", b.String())
		}
	})
}

func FuzzParseYAML(f *testing.F) {
	for _, name := range []string{"testdata/good.yaml", "testdata/bad-values.yaml", "testdata/bad-keys.yaml"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		m, err := manifest.ParseYAML("f.yaml", strings.NewReader(string(src)))
		if (m == nil) == (err == nil) {
			t.Fatal("neither or both")
		}
		if err == nil {
			if err := m.Check(); err != nil {
				t.Fatalf("parsed, but %v", err)
			}
		} else if twin.ErrorCode(err) != twin.CodeInvalid {
			t.Fatal(err)
		}
	})
}

func FuzzParseCSV(f *testing.F) {
	for _, name := range []string{"testdata/good.csv", "testdata/bad-values.csv"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		m, err := manifest.ParseCSV("f.csv", strings.NewReader(string(src)))
		if (m == nil) == (err == nil) {
			t.Fatal("neither or both")
		}
		if err == nil {
			if err := m.Check(); err != nil {
				t.Fatalf("parsed, but %v", err)
			}
		}
	})
}

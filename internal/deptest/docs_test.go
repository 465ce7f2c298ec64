package deptest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s#]+)(#[^)\s]*)?\)`)
	makeCommand  = regexp.MustCompile("(?m)(?:^|`)make ([a-z][a-z0-9-]*)")
	makeTarget   = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
	tableKey     = regexp.MustCompile("(?m)^\\| `([a-z]+(?:\\.[a-zA-Z]+)?)` \\|")
)

func documents(t *testing.T) map[string]string {
	t.Helper()
	docs := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			docs[name] = readFile(t, name)
		}
	}
	if docs[filepath.Join(root, "README.md")] == "" {
		t.Fatal("README.md was not read")
	}
	return docs
}

// TestDocumentLinks follows the links between documents and to pictures.
func TestDocumentLinks(t *testing.T) {
	for name, text := range documents(t) {
		for _, m := range markdownLink.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			}
		}
	}
}

// TestDocumentedMakeTargets looks for the make commands that documents name.
func TestDocumentedMakeTargets(t *testing.T) {
	var targets []string
	for _, m := range makeTarget.FindAllStringSubmatch(readFile(t, filepath.Join(root, "Makefile")), -1) {
		targets = append(targets, m[1])
	}
	named := 0
	for name, text := range documents(t) {
		for _, m := range makeCommand.FindAllStringSubmatch(text, -1) {
			named++
			if !slices.Contains(targets, m[1]) {
				t.Errorf("%s says make %s, but the Makefile has no such target", name, m[1])
			}
		}
	}
	if named < 5 {
		t.Errorf("only %d make commands were found in the documents", named)
	}
}

// TestDocumentedConfiguration holds the table of docs/OPERATIONS.md against
// configs/cityhub.yaml, which the program's own test holds against the program.
func TestDocumentedConfiguration(t *testing.T) {
	var file map[string]any
	if err := yaml.Unmarshal([]byte(readFile(t, filepath.Join(root, "configs", "cityhub.yaml"))), &file); err != nil {
		t.Fatal(err)
	}
	var want []string
	for section, v := range file {
		keys, nested := v.(map[string]any)
		if !nested {
			want = append(want, section)
		}
		for key := range keys {
			want = append(want, section+"."+key)
		}
	}
	text := readFile(t, filepath.Join(root, "docs", "OPERATIONS.md"))
	_, text, _ = strings.Cut(text, "\n## Configuration\n")
	text, _, found := strings.Cut(text, "\n## ")
	if !found {
		t.Fatal("docs/OPERATIONS.md has no section Configuration")
	}
	var got []string
	for _, m := range tableKey.FindAllStringSubmatch(text, -1) {
		got = append(got, m[1])
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("docs/OPERATIONS.md has the keys\n%v\nconfigs/cityhub.yaml has\n%v", got, want)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

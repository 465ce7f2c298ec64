// Package deptest keeps the architecture of docs/ARCHITECTURE.md true. It
// reads every Go file of the module, of every operating system and build tag,
// and checks imports and a few uses against the rules in rules.go. Each rule
// carries its reason, and a violation is reported with it.
//
// The package reads source files only: it runs no go command, needs no
// network and works on a module that does not compile. Its functions keep no
// state and are safe for concurrent use.
package deptest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// Module is what the check knows of a module's source.
type Module struct {
	Path     string     // the module path of go.mod, e.g. cityhub
	Packages []*Package // sorted by Dir
	byDir    map[string]*Package
}

// Package is the Go files of one folder.
type Package struct {
	Dir   string // slash-separated, relative to the module's root; "." is the root itself
	Name  string // without _test
	Files []*File
}

// File is one parsed source file.
type File struct {
	Path    string // slash-separated, relative to the module's root
	Test    bool   // its name ends in _test.go
	Doc     string // the package comment, if it stands here
	Imports []Use  // import paths
	Uses    []Use  // "import/path.Name" of every qualified identifier
	Inits   []Use  // func init
}

// Use is something that stands on a line of a file.
type Use struct {
	Name string
	Line int
}

// Load reads the module whose go.mod lies in root. Folders that the go command
// ignores, node_modules and nested modules are left out.
func Load(root string) (*Module, error) {
	modulePath, err := readModulePath(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	m := &Module{Path: modulePath, byDir: map[string]*Package{}}
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && ignoredDir(name, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(d.Name(), ".go") || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") {
			return nil
		}
		return m.addFile(root, rel)
	})
	if err != nil {
		return nil, fmt.Errorf("load module: %w", err)
	}
	for _, p := range m.byDir {
		m.Packages = append(m.Packages, p)
	}
	sort.Slice(m.Packages, func(i, j int) bool { return m.Packages[i].Dir < m.Packages[j].Dir })
	return m, nil
}

func ignoredDir(full, base string) bool {
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules" || base == "vendor" {
		return true
	}
	_, err := os.Stat(filepath.Join(full, "go.mod"))
	return err == nil
}

func readModulePath(name string) (string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("load module: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "module "); ok {
			return strings.Trim(strings.TrimSpace(rest), `"`), nil
		}
	}
	return "", fmt.Errorf("load module: %s has no module line", name)
}

func (m *Module) addFile(root, rel string) error {
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, filepath.Join(root, filepath.FromSlash(rel)), nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	f := &File{Path: rel, Test: strings.HasSuffix(rel, "_test.go"), Doc: syntax.Doc.Text()}
	line := func(n ast.Node) int { return fset.Position(n.Pos()).Line }

	// local name of an import → its path, to resolve qualified identifiers
	imported := map[string]string{}
	for _, spec := range syntax.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", rel, err)
		}
		f.Imports = append(f.Imports, Use{Name: p, Line: line(spec)})
		imported[localName(spec, p)] = p
	}
	ast.Inspect(syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				f.Inits = append(f.Inits, Use{Name: "init", Line: line(n)})
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && imported[x.Name] != "" {
				f.Uses = append(f.Uses, Use{Name: imported[x.Name] + "." + n.Sel.Name, Line: line(n)})
			}
		}
		return true
	})

	dir := path.Dir(rel)
	p := m.byDir[dir]
	if p == nil {
		p = &Package{Dir: dir}
		m.byDir[dir] = p
	}
	if name := strings.TrimSuffix(syntax.Name.Name, "_test"); p.Name == "" || !f.Test {
		p.Name = name
	}
	p.Files = append(p.Files, f)
	return nil
}

var majorVersion = regexp.MustCompile(`/v[0-9]+$`)

// localName is the name under which a file knows the import: its own, or by
// custom the last element of the path that is not a major version.
func localName(spec *ast.ImportSpec, importPath string) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	return path.Base(majorVersion.ReplaceAllString(importPath, ""))
}

// local gives the folder of an import path of this module.
func (m *Module) local(importPath string) (dir string, ok bool) {
	if importPath == m.Path {
		return ".", true
	}
	return strings.CutPrefix(importPath, m.Path+"/")
}

package deptest

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Violation is one broken rule.
type Violation struct {
	File string // slash-separated, relative to the module's root
	Line int
	What string // the forbidden arrow or use
	Why  string // the reason for the rule
}

// String is "file:line: what: why".
func (v Violation) String() string {
	return fmt.Sprintf("%s:%d: %s\n\tbecause %s", v.File, v.Line, v.What, v.Why)
}

// Rules is a set of rules. Patterns are folders relative to the module's root:
// "twin" is that folder alone, "twin/..." also everything below it, "..."
// everything, "./..." every package of the module and "*test" every folder
// whose name ends so. A pattern of packages outside the module is an import
// path in the same form.
type Rules struct {
	Arrows     []Arrow
	Closed     []string // packages that arrows are not followed through: a rule of their own bounds them
	Only       []Only
	Uses       []Only // Import is then "import/path.Name"
	TestsMay   []Allowance
	BadNames   map[string]string // package name → why not
	InitWhy    string
	CommentWhy string
}

// Arrow forbids packages in From to reach packages in To, directly or through
// other packages of the module. A target outside the module counts only where
// it is imported directly.
type Arrow struct {
	From, Except []string // Except narrows From
	To, ToExcept []string // ToExcept narrows To
	Direct       bool     // only what is imported directly counts
	Why          string
}

// Only says who alone may import a package or use a name.
type Only struct {
	Import []string
	In     []string
	Tests  bool // every test may as well
	Why    string
}

// Allowance lets the test files of From import To, which their package may not.
type Allowance struct {
	From, To []string
	Why      string
}

// Check gives the violations of r in m, in order of file and line.
func Check(m *Module, r Rules) []Violation {
	var out []Violation
	for _, p := range m.Packages {
		out = append(out, r.checkPackage(p)...)
		out = append(out, r.checkArrows(m, p)...)
		for _, f := range p.Files {
			out = append(out, r.checkFile(m, p, f)...)
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		if out[i].File != out[j].File {
			return out[i].File < out[j].File
		}
		return out[i].Line < out[j].Line
	})
	return slices.Compact(out)
}

func (r Rules) checkPackage(p *Package) []Violation {
	var out []Violation
	first := p.Files[0].Path
	if why, bad := r.BadNames[p.Name]; bad {
		out = append(out, Violation{File: first, Line: 1, What: "package " + p.Name + ": a name that says nothing", Why: why})
	}
	documented := slices.ContainsFunc(p.Files, func(f *File) bool {
		return strings.HasPrefix(f.Doc, "Package "+p.Name+" ") || p.Name == "main" && strings.HasPrefix(f.Doc, "Command ")
	})
	if r.CommentWhy != "" && !documented {
		out = append(out, Violation{File: first, Line: 1, What: "package " + p.Name + " has no package comment", Why: r.CommentWhy})
	}
	return out
}

func (r Rules) checkFile(m *Module, p *Package, f *File) []Violation {
	var out []Violation
	add := func(u Use, what, why string) {
		out = append(out, Violation{File: f.Path, Line: u.Line, What: what, Why: why})
	}
	if r.InitWhy != "" {
		for _, u := range f.Inits {
			add(u, "func init", r.InitWhy)
		}
	}
	for _, u := range f.Imports {
		target := u.Name
		if dir, ok := m.local(u.Name); ok {
			target = dir
		}
		for _, rule := range r.Only {
			if matchAny(rule.Import, target) && !matchAny(rule.In, p.Dir) && !(f.Test && (rule.Tests || r.testMay(p.Dir, target))) {
				add(u, "forbidden import: "+p.Dir+" → "+target, rule.Why)
			}
		}
	}
	for _, u := range f.Uses {
		for _, rule := range r.Uses {
			if slices.Contains(rule.Import, u.Name) && !matchAny(rule.In, p.Dir) && !(f.Test && rule.Tests) {
				add(u, "forbidden use of "+u.Name+" in "+p.Dir, rule.Why)
			}
		}
	}
	return out
}

func (r Rules) checkArrows(m *Module, p *Package) []Violation {
	var out []Violation
	for _, rule := range r.Arrows {
		if !matchAny(rule.From, p.Dir) || matchAny(rule.Except, p.Dir) {
			continue
		}
		forbidden := func(target string, local bool) bool {
			hit := matchAny(rule.To, target) || local && slices.Contains(rule.To, "./...")
			return hit && target != p.Dir && !matchAny(rule.ToExcept, target)
		}
		for _, f := range p.Files {
			for _, u := range f.Imports {
				dir, local := m.local(u.Name)
				if !local {
					dir = u.Name
				}
				if dir == p.Dir || f.Test && r.testMay(p.Dir, dir) {
					continue
				}
				var way []string
				switch {
				case forbidden(dir, local):
					way = []string{dir}
				case local && !rule.Direct:
					way = m.way(dir, p.Dir, r.Closed, forbidden)
				}
				if way != nil {
					arrow := strings.Join(append([]string{p.Dir}, way...), " → ")
					out = append(out, Violation{File: f.Path, Line: u.Line, What: "forbidden arrow: " + arrow, Why: rule.Why})
				}
			}
		}
	}
	return out
}

func (r Rules) testMay(from, to string) bool {
	return slices.ContainsFunc(r.TestsMay, func(a Allowance) bool { return matchAny(a.From, from) && matchAny(a.To, to) })
}

// way is the shortest chain of imports, of files that are no tests, from the
// package in dir to a forbidden package of the module; nil when there is none.
// It does not pass through home, whose own imports are checked by themselves,
// nor through closed packages.
func (m *Module) way(dir, home string, closed []string, forbidden func(dir string, local bool) bool) []string {
	type step struct {
		dir  string
		back *step
	}
	seen := map[string]bool{dir: true, home: true}
	for queue := []*step{{dir: dir}}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if forbidden(at.dir, true) {
			var chain []string
			for s := at; s != nil; s = s.back {
				chain = append([]string{s.dir}, chain...)
			}
			return chain
		}
		p := m.byDir[at.dir]
		if p == nil || matchAny(closed, at.dir) {
			continue
		}
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			for _, u := range f.Imports {
				if next, ok := m.local(u.Name); ok && !seen[next] {
					seen[next] = true
					queue = append(queue, &step{dir: next, back: at})
				}
			}
		}
	}
	return nil
}

// matchAny reports whether name matches one of patterns.
func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if p == "..." || p == name {
			return true
		}
		if suffix, ok := strings.CutPrefix(p, "*"); ok {
			return strings.HasSuffix(name, suffix)
		}
		base, deep := strings.CutSuffix(p, "/...")
		return deep && (name == base || strings.HasPrefix(name, base+"/"))
	})
}

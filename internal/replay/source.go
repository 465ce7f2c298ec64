package replay

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cityhub/twin"
)

// Source is a mapping with the data files and joined tables it found.
type Source struct {
	m     *Mapping
	files []dataFile
	joins map[string]map[string]map[string]string // join, key, column
}

type dataFile struct {
	path   string
	groups map[string]string
}

// Mapping is what the Source was opened with.
func (s *Source) Mapping() *Mapping { return s.m }

// Files are the paths of the data files, sorted.
func (s *Source) Files() []string {
	out := make([]string, len(s.files))
	for i, f := range s.files {
		out[i] = f.path
	}
	return out
}

// Open finds the data files of m: data are folders in which files.glob is
// looked up, or single files whose base name fits it. Errors are *twin.Error
// with CodeInvalid.
func (m *Mapping) Open(data ...string) (*Source, error) {
	if len(data) == 0 {
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "open data", Field: "data", Message: "no folder or file is named", Hint: "name the folder that holds " + m.Files.Glob}
	}
	s := &Source{m: m, joins: map[string]map[string]map[string]string{}}
	var roots, paths []string
	for _, d := range data {
		info, err := os.Stat(d)
		if err != nil {
			return nil, &twin.Error{Code: twin.CodeInvalid, Op: "open data", Field: d, Message: "cannot be opened", Err: err}
		}
		if !info.IsDir() {
			if ok, _ := filepath.Match(filepath.Base(m.Files.Glob), filepath.Base(d)); !ok {
				return nil, &twin.Error{Code: twin.CodeInvalid, Op: "open data", Field: d, Message: "does not fit files.glob " + m.Files.Glob + " of " + m.path, Hint: "is it the right mapping?"}
			}
			paths = append(paths, d)
			roots = append(roots, filepath.Dir(d), filepath.Dir(filepath.Dir(d)))
			continue
		}
		roots = append(roots, d)
		found, err := filepath.Glob(filepath.Join(globEscape(d), m.Files.Glob))
		if err != nil {
			return nil, m.bad("files.glob", "is not a pattern: "+err.Error(), "")
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	for _, p := range slices.Compact(paths) {
		match := m.fileName.FindStringSubmatch(filepath.Base(p))
		f := dataFile{path: p, groups: map[string]string{}}
		if m.Files.Name != "" {
			if match == nil {
				return nil, &twin.Error{Code: twin.CodeInvalid, Op: "open data", Field: p, Message: "its name does not fit files.name " + m.Files.Name + " of " + m.path}
			}
			for i, g := range m.fileName.SubexpNames() {
				if g != "" {
					f.groups[g] = match[i]
				}
			}
		}
		s.files = append(s.files, f)
	}
	if len(s.files) == 0 {
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "open data", Field: strings.Join(data, ", "), Message: "holds no file " + m.Files.Glob, Hint: "files.glob of " + m.path + " is relative to the folder"}
	}
	for _, j := range m.Join {
		table := j.Table
		if j.File != "" {
			var err error
			if table, err = loadJoin(j, roots); err != nil {
				return nil, err
			}
		}
		s.joins[j.Name] = table
	}
	return s, nil
}

func globEscape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}

func loadJoin(j Join, roots []string) (map[string]map[string]string, error) {
	var path string
	for _, r := range roots {
		if p := filepath.Join(r, j.File); path == "" {
			if _, err := os.Stat(p); err == nil {
				path = p
			}
		}
	}
	if path == "" {
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "open data", Field: "join " + j.Name, Message: j.File + " is not in " + strings.Join(roots, ", ")}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "open data", Field: path, Message: "cannot be opened", Err: err}
	}
	defer f.Close()
	r := csv.NewReader(skipBOM(f))
	header, err := r.Read()
	if err != nil {
		return nil, csvError(path, err)
	}
	key := slices.Index(header, j.Column)
	if key < 0 {
		return nil, noColumn(path, j.Column, header)
	}
	table := map[string]map[string]string{}
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return table, nil
		}
		if err != nil {
			return nil, csvError(path, err)
		}
		row := make(map[string]string, len(rec))
		for i, v := range rec {
			row[header[i]] = v
		}
		if _, dup := table[rec[key]]; dup {
			line, _ := r.FieldPos(key)
			return nil, &twin.Error{Code: twin.CodeInvalid, Op: "read " + path, Field: fmt.Sprintf("line %d, column %s", line, j.Column), Message: fmt.Sprintf("%q stands twice", rec[key]), Hint: "a join needs one row per key"}
		}
		table[rec[key]] = row
	}
}

func noColumn(path, column string, header []string) error {
	return &twin.Error{Code: twin.CodeInvalid, Op: "read " + path, Field: "line 1, column " + column, Message: "there is no such column", Hint: "the columns are " + strings.Join(header, ", ")}
}

func csvError(path string, err error) error {
	var pe *csv.ParseError
	if errors.As(err, &pe) {
		return &twin.Error{Code: twin.CodeInvalid, Op: "read " + path, Field: fmt.Sprintf("line %d, character %d", pe.Line, pe.Column), Message: "is not CSV", Err: pe.Err}
	}
	if errors.Is(err, io.EOF) {
		return &twin.Error{Code: twin.CodeInvalid, Op: "read " + path, Field: "line 1", Message: "the file is empty", Hint: "a header line is expected"}
	}
	return &twin.Error{Code: twin.CodeInvalid, Op: "read " + path, Message: "cannot be read", Err: err}
}

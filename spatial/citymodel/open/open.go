// Package open opens a file of a city model whatever its format: it finds the
// format by the content, then by the name, and gives its Reader. Files may be
// compressed with gzip, or be one data set in a zip archive, as shapefiles and
// KMZ come.
//
// What is compressed, or comes through a pipe, is unpacked into a temporary
// folder, which is removed by the close function; names in an archive are never
// used as file names. How much is unpacked is bounded in total, in relation to
// the compressed size and in the number of entries.
//
// The functions hold no state and may be called by several goroutines; a Reader
// is for one.
package open

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"cityhub/spatial/citymodel"
)

// Options say how to open a file. The zero value is usable.
type Options struct {
	citymodel.FeatureOptions        // File: empty means the path that is opened
	Format                   string // one of Formats by Name; empty: found
	Layer                    string // of a GeoPackage; empty: all
	Member                   string // name of the data set in an archive with several; empty: there must be one
	Encoding                 string // of Shapefile and CSV, e.g. "GBK"; empty: found
	// Columns of a CSV table: of the geometry, or of coordinates; empty: found.
	Column, X, Y, Z string

	Stdin   io.Reader // what the path "-" stands for; nil: "-" is an error
	TempDir string    // where a temporary folder is made; empty: the system's
	// MaxUnpacked is how many bytes a compressed file or a pipe may become;
	// zero means 16 GiB.
	MaxUnpacked int64
	// MaxRatio is how many times larger than compressed the content may be, once
	// it is larger than 64 MiB; zero means 250.
	MaxRatio int64
}

// Entries beyond this number make an archive unreadable.
const maxEntries = 10_000

// withDefaults fills in the defaults.
func (o Options) withDefaults(path string) Options {
	if o.File == "" {
		o.File = path
	}
	if o.MaxUnpacked <= 0 {
		o.MaxUnpacked = 16 << 30
	}
	if o.MaxRatio <= 0 {
		o.MaxRatio = 250
	}
	return o
}

// source is an open file whose format is looked for.
type source struct {
	ctx  context.Context
	o    Options
	path string // on disk
	name string // as it was called where it came from
	file *os.File
	size int64
	head []byte
	// beside finds a file of the same name with another extension, such as
	// ".dbf"; the path on disk, or "".
	beside func(ext string) (path string, err error)
	closes []func() error
}

// File opens the file at path, or what comes from o.Stdin where path is "-". Its
// errors are of type *citymodel.Error, or of the context. close is to be called
// when the Reader is not needed any more; it is nil when there was an error.
func File(ctx context.Context, path string, o Options) (r citymodel.Reader, closeAll func() error, err error) {
	s := &source{ctx: ctx, o: o.withDefaults(path), path: path, name: filepath.Base(path)}
	if r, err = s.open(); err != nil {
		if closing := s.close(); closing != nil {
			err = errors.Join(err, closing)
		}
		return nil, nil, s.final(err)
	}
	return r, s.close, nil
}

// close closes and removes everything in reverse order. It may be called again.
func (s *source) close() (err error) {
	for i := len(s.closes) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closes[i]())
	}
	s.closes = nil
	return err
}

// final makes err a *citymodel.Error unless it is one or is the context's.
func (s *source) final(err error) error {
	var e *citymodel.Error
	if errors.As(err, &e) || s.ctx.Err() != nil && errors.Is(err, s.ctx.Err()) {
		return err
	}
	code := citymodel.Syntax
	var f *fault
	if errors.As(err, &f) {
		code = f.code
	}
	return &citymodel.Error{Code: code, File: s.o.File, Line: 1, Message: err.Error(), Err: err}
}

// fault is why a file cannot be opened.
type fault struct {
	code citymodel.Code
	text string
}

func (f *fault) Error() string { return f.text }

func faultf(code citymodel.Code, format string, args ...any) error {
	return &fault{code: code, text: fmt.Sprintf(format, args...)}
}

func (s *source) open() (citymodel.Reader, error) {
	if s.path == "-" {
		if s.o.Stdin == nil {
			return nil, faultf(citymodel.Missing, "there is no standard input here; name a file")
		}
		if err := s.spool("stdin", s.o.Stdin, func() int64 { return 0 }); err != nil {
			return nil, err
		}
	}
	if err := s.openFile(s.path); err != nil {
		return nil, err
	}
	if s.beside == nil {
		s.beside = s.neighbour
	}
	for unpacked := 0; ; unpacked++ {
		var err error
		switch {
		case hasPrefix(s.head, "\x1f\x8b"):
			err = s.gunzip()
		case hasPrefix(s.head, "PK\x03\x04"), hasPrefix(s.head, "PK\x05\x06"):
			err = s.unzip()
		default:
			return s.reader()
		}
		if err != nil {
			return nil, err
		}
		if unpacked > 0 {
			return nil, faultf(citymodel.UnknownType, "a compressed file inside of a compressed one; unpack it first")
		}
	}
}

func hasPrefix(b []byte, prefix string) bool {
	return strings.HasPrefix(string(b[:min(len(b), len(prefix))]), prefix)
}

// headBytes is how much of a file is looked at to find its format.
const headBytes = 64 << 10

// openFile lets s be the file at path, whose head is read.
func (s *source) openFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return faultf(citymodel.WrongType, "this is a folder; name the file in it")
	}
	if !info.Mode().IsRegular() {
		return faultf(citymodel.WrongType, "this is no regular file; use - for what comes through a pipe")
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	s.closes = append(s.closes, f.Close)
	s.path, s.file, s.size = path, f, info.Size()
	s.head = make([]byte, min(headBytes, s.size))
	if _, err := f.ReadAt(s.head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(s.head) == 0 {
		return faultf(citymodel.Missing, "the file is empty")
	}
	return nil
}

// neighbour finds the file beside s.path with another extension, in any of the
// usual spellings.
func (s *source) neighbour(ext string) (string, error) {
	base := strings.TrimSuffix(s.path, filepath.Ext(s.path))
	for _, name := range []string{base + ext, base + strings.ToUpper(ext), s.path + ext} {
		info, err := os.Stat(name)
		if err == nil && info.Mode().IsRegular() {
			return name, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return "", nil
}

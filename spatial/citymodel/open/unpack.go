package open

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"cityhub/spatial/citymodel"
)

// ratioFrom is the unpacked size up to which any ratio is allowed: small files
// of one repeated byte are no harm.
const ratioFrom = 64 << 20

// temp makes the temporary folder.
func (s *source) temp() (string, error) {
	dir, err := os.MkdirTemp(s.o.TempDir, "cityhub-import-")
	if err != nil {
		return "", err
	}
	s.closes = append(s.closes, func() error { return os.RemoveAll(dir) })
	return dir, nil
}

// spool copies r into a temporary file and lets s.path be that; packed is how
// many compressed bytes have been read until now, 0 where they are not.
func (s *source) spool(name string, r io.Reader, packed func() int64) error {
	dir, err := s.temp()
	if err != nil {
		return err
	}
	file := filepath.Join(dir, name)
	if _, err := s.copy(file, r, packed, s.o.MaxUnpacked); err != nil {
		return err
	}
	s.path = file
	s.beside = func(string) (string, error) { return "", nil }
	return nil
}

// copy writes r into a new file of at most limit bytes and gives its size.
func (s *source) copy(file string, r io.Reader, packed func() int64, limit int64) (n int64, err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := make([]byte, 256<<10)
	for {
		if err := s.ctx.Err(); err != nil {
			return n, err
		}
		k, err := r.Read(buf)
		n += int64(k)
		if n > limit {
			return n, faultf(citymodel.TooLarge, "it unpacks to more than %d bytes; raise MaxUnpacked if it is meant to be that large", s.o.MaxUnpacked)
		}
		if p := packed(); p > 0 && n > ratioFrom && n/p >= s.o.MaxRatio {
			return n, faultf(citymodel.TooLarge, "%d compressed bytes unpack to more than %d, which is no city model but a bomb; raise MaxRatio if it is meant to be so", p, n)
		}
		if _, err := f.Write(buf[:k]); err != nil {
			return n, err
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("after %d unpacked bytes: %w", n, err)
		}
	}
}

// counter counts what is read through it.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

func (s *source) gunzip() error {
	in := &counter{r: io.NewSectionReader(s.file, 0, s.size)}
	z, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	s.name = strings.TrimSuffix(strings.TrimSuffix(s.name, ".gz"), ".GZ")
	if err := s.spool("data", z, func() int64 { return in.n }); err != nil {
		return err
	}
	return s.openFile(s.path)
}

// dataExtensions are those of entries that can be a data set.
var dataExtensions = []string{".shp", ".gpkg", ".kml", ".geojson", ".json", ".geojsonl", ".geojsonseq", ".jsonl", ".ndjson", ".gml", ".citygml", ".xml", ".csv", ".tsv", ".pbf"}

// shapefileExtensions are those of the files of a shapefile.
var shapefileExtensions = []string{".shp", ".shx", ".dbf", ".prj", ".cpg"}

// unzip takes the one data set out of an archive.
func (s *source) unzip() error {
	z, err := zip.NewReader(io.NewSectionReader(s.file, 0, s.size), s.size)
	if err != nil {
		return err
	}
	if len(z.File) > maxEntries {
		return faultf(citymodel.TooLarge, "an archive of %d entries; the limit is %d", len(z.File), maxEntries)
	}
	set, err := s.dataSet(z)
	if err != nil {
		return err
	}
	dir, err := s.temp()
	if err != nil {
		return err
	}
	ext := strings.ToLower(path.Ext(set.Name))
	entries := map[string]*zip.File{ext: set}
	if ext == ".shp" {
		stem := strings.TrimSuffix(set.Name, path.Ext(set.Name))
		for _, f := range z.File {
			e := strings.ToLower(path.Ext(f.Name))
			if strings.EqualFold(strings.TrimSuffix(f.Name, path.Ext(f.Name)), stem) && slices.Contains(shapefileExtensions, e) && entries[e] == nil {
				entries[e] = f
			}
		}
	}
	left := s.o.MaxUnpacked
	for e, f := range entries {
		n, err := s.extract(f, filepath.Join(dir, "data"+e), left)
		if err != nil {
			return fmt.Errorf("%.200q in the archive: %w", f.Name, err)
		}
		left -= n
	}
	s.name = path.Base(set.Name)
	s.beside = nil
	if err := s.openFile(filepath.Join(dir, "data"+ext)); err != nil {
		return err
	}
	s.beside = s.neighbour
	return nil
}

func (s *source) extract(f *zip.File, to string, limit int64) (int64, error) {
	if f.Flags&1 != 0 {
		return 0, faultf(citymodel.UnknownType, "it is encrypted; unpack it first")
	}
	r, err := f.Open()
	if err != nil {
		return 0, err
	}
	n, err := s.copy(to, r, func() int64 { return max(int64(f.CompressedSize64), 1) }, limit)
	return n, errors.Join(err, r.Close())
}

// dataSet finds the entry to read.
func (s *source) dataSet(z *zip.Reader) (*zip.File, error) {
	var found []*zip.File
	names := ""
	for _, f := range z.File {
		base := path.Base(f.Name)
		if f.FileInfo().IsDir() || strings.HasPrefix(base, ".") || strings.HasPrefix(f.Name, "__MACOSX/") || !slices.Contains(dataExtensions, strings.ToLower(path.Ext(base))) {
			continue
		}
		if s.o.Member != "" && f.Name != s.o.Member {
			continue
		}
		// In a KMZ it is the first KML file in the main folder (OGC 12-007r2
		// annex C); others are for its network links.
		if strings.EqualFold(f.Name, "doc.kml") && s.o.Member == "" {
			if links, err := onlyLinks(f); err != nil || !links {
				return f, err
			}
			continue
		}
		found = append(found, f)
		if len(names) < 300 {
			names += fmt.Sprintf(", %.100q", f.Name)
		}
	}
	if strings.EqualFold(path.Ext(s.name), ".kmz") {
		for _, f := range found {
			if strings.EqualFold(path.Ext(f.Name), ".kml") && !strings.Contains(f.Name, "/") {
				return f, nil
			}
		}
	}
	// A shapefile has .xml, and .csv can lie beside anything: descriptions.
	if main := slices.DeleteFunc(slices.Clone(found), func(f *zip.File) bool {
		return slices.Contains([]string{".xml", ".csv", ".tsv", ".json"}, strings.ToLower(path.Ext(f.Name)))
	}); len(main) == 1 {
		return main[0], nil
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && s.o.Member != "":
		return nil, faultf(citymodel.Missing, "the archive has no data set called %.200q", s.o.Member)
	case len(found) == 0:
		return nil, faultf(citymodel.Missing, "none of the %d entries of the archive is a data set; expected one that ends in %s", len(z.File), strings.Join(dataExtensions, ", "))
	}
	return nil, faultf(citymodel.BadReference, "the archive has %d data sets: %s; name one of them as the member to read", len(found), strings.TrimPrefix(names, ", "))
}

// onlyLinks reports whether a KML file has links to others and, as far as it is
// looked at, no objects: GDAL writes such a doc.kml beside the layers.
func onlyLinks(f *zip.File) (bool, error) {
	r, err := f.Open()
	if err != nil {
		return false, err
	}
	b, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err = errors.Join(err, r.Close()); err != nil {
		return false, err
	}
	return bytes.Contains(b, []byte("<NetworkLink")) && !bytes.Contains(b, []byte("<Placemark")), nil
}

package open

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/citygml"
	"cityhub/spatial/citymodel/cityjson"
	"cityhub/spatial/citymodel/csvwkt"
	"cityhub/spatial/citymodel/geojson"
	"cityhub/spatial/citymodel/geopackage"
	"cityhub/spatial/citymodel/internal/jsonscan"
	"cityhub/spatial/citymodel/kml"
	"cityhub/spatial/citymodel/shapefile"
)

// Format is a format that can be read.
type Format struct {
	Name       string   // as Options.Format takes it
	Extensions []string // usual ones, lower case, with the dot
	Title      string
}

// Formats lists the formats.
func Formats() []Format {
	list := make([]Format, len(formats))
	for i, f := range formats {
		list[i] = f.Format
	}
	return list
}

type format struct {
	Format
	open func(*source) (citymodel.Reader, error)
}

// formats are in the order of Formats.
var formats = []format{
	{Format{"cityjson", []string{".city.json", ".cityjson"}, "CityJSON 1.0 to 2.0"}, openCityJSON},
	{Format{"cityjsonseq", []string{".city.jsonl", ".cityjsonl"}, "CityJSONSeq"}, openCityJSONSeq},
	{Format{"citygml", []string{".gml", ".citygml"}, "CityGML 1.0, 2.0 and 3.0"}, openCityGML},
	{Format{"geojson", []string{".geojson"}, "GeoJSON"}, openGeoJSON},
	{Format{"geojsonseq", []string{".geojsonl", ".geojsonseq", ".geojsons"}, "GeoJSON text sequence"}, openGeoJSONSeq},
	{Format{"shapefile", []string{".shp"}, "Esri Shapefile"}, openShapefile},
	{Format{"geopackage", []string{".gpkg"}, "GeoPackage"}, openGeoPackage},
	{Format{"kml", []string{".kml", ".kmz"}, "KML"}, openKML},
	{Format{"csv", []string{".csv", ".tsv"}, "CSV with well-known text or coordinates"}, openCSV},
}

// reader finds the format and opens it.
func (s *source) reader() (citymodel.Reader, error) {
	name := strings.ToLower(s.o.Format)
	if name == "" {
		var err error
		if name, err = s.recognise(); err != nil {
			return nil, err
		}
	}
	for _, f := range formats {
		if f.Name == name {
			return f.open(s)
		}
	}
	return nil, faultf(citymodel.UnknownType, "no format is called %.40q; there are %s", s.o.Format, known())
}

func known() string {
	var b strings.Builder
	for i, f := range formats {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%s)", f.Name, strings.Join(f.Extensions, ", "))
	}
	return b.String()
}

// recognise finds the format by the content, and where that does not tell by
// the name.
func (s *source) recognise() (string, error) {
	text := bytes.TrimLeft(bytes.TrimPrefix(s.head, []byte("\ufeff")), " \t\r\n")
	switch {
	case geopackage.Recognise(s.head):
		return "geopackage", nil
	case shapefile.Recognise(s.head):
		return "shapefile", nil
	case len(text) > 0 && text[0] == '<':
		return s.recogniseXML(text)
	case len(text) > 0 && (text[0] == '{' || text[0] == '[' || text[0] == 0x1e):
		return s.recogniseJSON(text)
	}
	for _, part := range []string{".dbf", ".shx", ".prj", ".cpg"} {
		if strings.EqualFold(filepath.Ext(s.name), part) {
			return "", faultf(citymodel.WrongType, "this is a part of a shapefile; name the .shp file")
		}
	}
	if csvwkt.Recognise(s.head[:firstLines(s.head)]) {
		return "csv", nil
	}
	lower := strings.ToLower(s.name)
	for _, f := range formats {
		for _, ext := range f.Extensions {
			if strings.HasSuffix(lower, ext) {
				return f.Name, nil
			}
		}
	}
	return "", faultf(citymodel.UnknownType, "the format is none that can be read; the file begins with %.40q. There are %s", s.head[:min(len(s.head), 40)], known())
}

// firstLines leaves out a line that may not be there as a whole.
func firstLines(head []byte) int {
	if i := bytes.LastIndexByte(head, '\n'); i >= 0 {
		return i + 1
	}
	return len(head)
}

// recogniseXML looks at the name of the first element.
func (s *source) recogniseXML(text []byte) (string, error) {
	for len(text) > 1 && text[0] == '<' && (text[1] == '?' || text[1] == '!') {
		end := []byte(">")
		if bytes.HasPrefix(text, []byte("<!--")) {
			end = []byte("-->")
		}
		i := bytes.Index(text, end)
		if i < 0 {
			break
		}
		text = bytes.TrimLeft(text[i+len(end):], " \t\r\n")
	}
	name := ""
	if len(text) > 1 {
		name = string(text[1:min(len(text), 100)])
		if i := strings.IndexAny(name, " \t\r\n/>"); i >= 0 {
			name = name[:i]
		}
		name = name[strings.IndexByte(name, ':')+1:]
	}
	switch name {
	case "kml":
		return "kml", nil
	case "CityModel":
		return "citygml", nil
	case "osm":
		return "", faultf(citymodel.UnknownType, "this is OSM XML, which cannot be read; convert it to PBF: osmium cat -o file.osm.pbf %.100s", s.name)
	}
	return "", faultf(citymodel.UnknownType, "this is XML whose first element is %.60q; expected CityModel (CityGML) or kml", name)
}

// recogniseJSON looks at the member type of the first text.
func (s *source) recogniseJSON(text []byte) (string, error) {
	seq := text[0] == 0x1e || secondText(text)
	if text[0] == '[' {
		return "", faultf(citymodel.WrongType, "this is a JSON array; expected an object: CityJSON or GeoJSON")
	}
	skip := s.size - int64(len(s.head)) + int64(len(text)) // from here on
	if text[0] == 0x1e {
		skip--
	}
	limits := s.o.Limits.WithDefaults()
	scan := jsonscan.New(io.NewSectionReader(s.file, s.size-skip, skip), jsonscan.Options{MaxDepth: limits.Depth, MaxToken: limits.ValueBytes})
	typ := ""
	stop := errors.New("found")
	err := scan.Object(func(k []byte) (err error) {
		if string(k) != "type" {
			return scan.Skip()
		}
		if typ, err = scan.String(); err == nil {
			err = stop
		}
		return err
	})
	if err != nil && !errors.Is(err, stop) {
		return "", err
	}
	lower := strings.ToLower(s.name)
	for _, ext := range []string{".jsonl", ".geojsonl", ".geojsons", ".geojsonseq", ".ndjson"} {
		seq = seq || strings.HasSuffix(lower, ext)
	}
	switch typ {
	case "CityJSON", "CityJSONFeature":
		if seq || typ == "CityJSONFeature" {
			return "cityjsonseq", nil
		}
		return "cityjson", nil
	case "FeatureCollection", "Feature", "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection":
		if seq && typ != "FeatureCollection" {
			return "geojsonseq", nil
		}
		return "geojson", nil
	}
	return "", faultf(citymodel.UnknownType, "this is JSON whose type is %.60q; expected CityJSON or one of GeoJSON", typ)
}

// secondText reports whether the first line is a whole object and another
// follows, as in a sequence. A first line that is longer than the head is
// looked for in the type and the name.
func secondText(text []byte) bool {
	line, rest, ok := bytes.Cut(text, []byte("\n"))
	line = bytes.TrimSpace(line)
	rest = bytes.TrimSpace(rest)
	return ok && len(line) > 1 && line[len(line)-1] == '}' && len(rest) > 0 && rest[0] == '{'
}

func (s *source) geojsonOptions() geojson.Options {
	f := s.o.FeatureOptions
	return geojson.Options{Options: f.Options, IDProperty: f.IDProperty, NameProperty: f.NameProperty, ClassProperty: f.ClassProperty, Classes: f.Classes, MetresPerLevel: f.MetresPerLevel}
}

func (s *source) stream() io.Reader { return io.NewSectionReader(s.file, 0, s.size) }

func openCityJSON(s *source) (citymodel.Reader, error) {
	return cityjson.Open(s.file, s.size, s.o.Options)
}

func openCityJSONSeq(s *source) (citymodel.Reader, error) {
	return cityjson.NewSeqReader(s.stream(), s.o.Options)
}

func openCityGML(s *source) (citymodel.Reader, error) { return citygml.Open(s.stream(), s.o.Options) }

func openGeoJSON(s *source) (citymodel.Reader, error) {
	return geojson.Open(s.file, s.size, s.geojsonOptions())
}

func openGeoJSONSeq(s *source) (citymodel.Reader, error) {
	return geojson.NewSeqReader(s.stream(), s.geojsonOptions()), nil
}

func openGeoPackage(s *source) (citymodel.Reader, error) {
	r, err := geopackage.Open(s.ctx, s.path, geopackage.Options{FeatureOptions: s.o.FeatureOptions, Layer: s.o.Layer})
	if err != nil {
		return nil, err
	}
	s.closes = append(s.closes, r.Close)
	return r, nil
}

func openKML(s *source) (citymodel.Reader, error) { return kml.Open(s.stream(), s.o.FeatureOptions) }

func openCSV(s *source) (citymodel.Reader, error) {
	return csvwkt.Open(s.stream(), csvwkt.Options{FeatureOptions: s.o.FeatureOptions, Column: s.o.Column, X: s.o.X, Y: s.o.Y, Z: s.o.Z, Encoding: s.o.Encoding})
}

// openShapefile opens the files that lie beside the .shp.
func openShapefile(s *source) (citymodel.Reader, error) {
	f := shapefile.Files{SHP: shapefile.Part{At: s.file, Size: s.size}}
	for _, p := range []struct {
		ext  string
		part *shapefile.Part
	}{{".shx", &f.SHX}, {".dbf", &f.DBF}, {".prj", &f.PRJ}, {".cpg", &f.CPG}} {
		path, err := s.beside(p.ext)
		if err != nil {
			return nil, err
		}
		if path == "" {
			continue
		}
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		s.closes = append(s.closes, file.Close)
		info, err := file.Stat()
		if err != nil {
			return nil, err
		}
		*p.part = shapefile.Part{At: file, Size: info.Size()}
	}
	return shapefile.Open(f, shapefile.Options{FeatureOptions: s.o.FeatureOptions, Encoding: s.o.Encoding})
}

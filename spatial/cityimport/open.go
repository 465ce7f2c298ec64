package cityimport

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"

	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/citygml"
	"cityhub/spatial/citymodel/cityjson"
	"cityhub/spatial/citymodel/geojson"
	"cityhub/spatial/store"
)

// headBytes is how much of a file is looked at to find out its format.
const headBytes = 64 << 10

// Open opens CityJSON, GeoJSON, sequences of either, and CityGML, which it tells
// apart by content, and where that leaves it open by the ending of the name.
func Open(path string, o citymodel.Options) (citymodel.Reader, func() error, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	r, err := open(f, path, o)
	if err != nil {
		_ = f.Close() // it was only read
		return nil, nil, err
	}
	return r, f.Close, nil
}

func open(f *os.File, path string, o citymodel.Options) (citymodel.Reader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	head := make([]byte, headBytes)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch format(head[:n], filepath.Base(path)) {
	case "citygml":
		return citygml.Open(f, o)
	case "cityjson":
		return cityjson.Open(f, info.Size(), o)
	case "cityjsonseq":
		return cityjson.NewSeqReader(f, o)
	case "geojson":
		return geojson.Open(f, info.Size(), geojson.Options{Options: o})
	case "geojsonseq":
		return geojson.NewSeqReader(f, geojson.Options{Options: o}), nil
	}
	return nil, &store.Error{
		Code: store.Invalid, Op: op, File: o.File, Line: 1, Message: "its content is none of the formats that can be read",
		Hint: "nothing was stored; convert it to CityJSON, CityGML or GeoJSON",
	}
}

// format names the format of a file that begins with head; empty: none known.
func format(head []byte, name string) string {
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	text := bytes.TrimLeft(head, " \t\r\n")
	if len(text) == 0 {
		return ""
	}
	name = strings.ToLower(name)
	ends := func(list ...string) bool {
		for _, s := range list {
			if strings.HasSuffix(name, s) {
				return true
			}
		}
		return false
	}
	switch text[0] {
	case '<':
		return "citygml"
	case 0x1e:
		return "geojsonseq"
	case '{':
	default:
		return ""
	}
	line, rest, several := bytes.Cut(text, []byte("\n"))
	rest = bytes.TrimLeft(rest, " \t\r\n")
	several = several && len(rest) > 0 && rest[0] == '{' && bytes.HasSuffix(bytes.TrimRight(line, " \t\r"), []byte("}"))
	model := bytes.Contains(text, []byte(`"CityJSON"`)) || bytes.Contains(text, []byte(`"CityObjects"`)) || ends(".city.json", ".city.jsonl", ".cityjson")
	switch sequence := several || ends(".jsonl", ".ndjson", ".geojsonl", ".geojsons", ".geojsonseq"); {
	case model && sequence:
		return "cityjsonseq"
	case model:
		return "cityjson"
	case sequence:
		return "geojsonseq"
	}
	return "geojson"
}

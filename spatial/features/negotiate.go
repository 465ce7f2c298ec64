package features

import (
	"fmt"
	"mime"
	"strconv"
	"strings"

	"cityhub/spatial/city"
)

// format is a representation, by its name in the parameter f.
type format struct {
	name      string
	mediaType string
	title     string
	titleEn   string
	also      []string // other media types that mean it
}

// The representations.
var (
	formatJSON    = format{"json", "application/json", "JSON", "JSON", nil}
	formatHTML    = format{"html", "text/html", "网页", "HTML", []string{"application/xhtml+xml"}}
	formatOpenAPI = format{"json", "application/vnd.oai.openapi+json;version=3.0", "OpenAPI 3.0", "OpenAPI 3.0", []string{"application/json", "application/openapi+json"}}
	formatSchema  = format{"json", "application/schema+json", "JSON Schema", "JSON Schema", []string{"application/json"}}
	formatGeoJSON = format{"json", "application/geo+json", "GeoJSON", "GeoJSON", []string{"application/json"}}
	formatJSONFG  = format{"jsonfg", "application/vnd.ogc.fg+json", "JSON-FG", "JSON-FG", []string{"application/fg+json"}}

	documents      = []format{formatJSON, formatHTML}
	featureFormats = []format{formatGeoJSON, formatHTML, formatJSONFG}
)

// negotiate chooses by f and, without it, by the header Accept (RFC 9110,
// section 12.5.1): the highest quality, among equals the first of formats.
func negotiate(formats []format, f, accept string) (format, error) {
	names := make([]string, len(formats))
	for i, x := range formats {
		names[i] = x.name
		if f == x.name || f == "geojson" && x.mediaType == formatGeoJSON.mediaType {
			return x, nil
		}
	}
	if f != "" {
		return format{}, &city.Error{Code: city.Invalid, Field: "f", Message: fmt.Sprintf("found %q, expected one of %s", f, strings.Join(names, ", "))}
	}
	if strings.TrimSpace(accept) == "" {
		return formats[0], nil
	}
	best, bestQ, bestRank := -1, 0.0, 0
	for i, x := range formats {
		q, rank := quality(accept, append([]string{x.mediaType}, x.also...))
		if q > bestQ || q == bestQ && q > 0 && rank > bestRank {
			best, bestQ, bestRank = i, q, rank
		}
	}
	if best < 0 {
		return format{}, &city.Error{Code: city.NotAcceptable, Field: "Accept", Message: fmt.Sprintf("none of the media types in %.200q is served", accept), Hint: "f takes " + strings.Join(names, ", ")}
	}
	return formats[best], nil
}

// quality is the weight that accept gives the best of some media types, and how
// exactly it names it: 3 type/subtype, 2 type/*, 1 */*.
func quality(accept string, types []string) (q float64, rank int) {
	for _, t := range types {
		t, _, _ = strings.Cut(t, ";")
		major, _, _ := strings.Cut(t, "/")
		found, foundQ := 0, 0.0
		for part := range strings.SplitSeq(accept, ",") {
			media, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			r := 0
			switch media {
			case t:
				r = 3
			case major + "/*":
				r = 2
			case "*/*":
				r = 1
			}
			if r <= found {
				continue
			}
			w := 1.0
			if s, ok := params["q"]; ok {
				if w, err = strconv.ParseFloat(s, 64); err != nil || !(w >= 0 && w <= 1) {
					continue
				}
			}
			found, foundQ = r, w
		}
		if foundQ > q || foundQ == q && found > rank {
			q, rank = foundQ, found
		}
	}
	return q, rank
}

// language is zh or en: by lang, then by the header Accept-Language, then zh.
func language(lang, accept string) (string, error) {
	switch strings.ToLower(lang) {
	case "":
	case "zh", "zh-cn":
		return "zh", nil
	case "en":
		return "en", nil
	default:
		return "", &city.Error{Code: city.Invalid, Field: "lang", Message: fmt.Sprintf("found %q, expected zh or en", lang)}
	}
	best, bestQ := "zh", 0.0
	for part := range strings.SplitSeq(accept, ",") {
		tag, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(weight), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(v, 64); err != nil {
				continue
			}
		}
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if (primary == "zh" || primary == "en") && q > bestQ {
			best, bestQ = primary, q
		}
	}
	return best, nil
}

// text chooses by language.
func (c *call) text(zh, en string) string {
	if c.lang == "en" && en != "" || zh == "" {
		return en
	}
	return zh
}

package features

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"cityhub/spatial/city"
	"cityhub/spatial/store"
)

const hexDigits = "0123456789ABCDEF"

// appendID appends the id of a feature: see the package comment.
func appendID(dst []byte, k store.Key) []byte {
	dst = escapeID(dst, k.Dataset, false)
	dst = append(dst, ':')
	return escapeID(dst, k.ID, true)
}

func escapeID(dst []byte, s string, colon bool) []byte {
	valid := utf8.ValidString(s)
	for i := range len(s) {
		switch b := s[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-', b == '_', b == '.', b == ':' && colon, b >= utf8.RuneSelf && valid:
			dst = append(dst, b)
		default:
			dst = append(dst, '~', hexDigits[b>>4], hexDigits[b&15])
		}
	}
	return dst
}

// parseID reads the id of a feature. An id that appendID does not write is
// none: every feature has one URL.
func parseID(id string) (store.Key, error) {
	fault := func() (store.Key, error) {
		return store.Key{}, &city.Error{Code: city.NotFound, Field: "featureId", Message: fmt.Sprintf("%.200q is no id of a feature", id), Hint: "ids are DATASET:IDENTIFIER, as the items of the collection have them"}
	}
	dataset, local, ok := strings.Cut(id, ":")
	if !ok {
		return fault()
	}
	k := store.Key{Dataset: unescapeID(dataset), ID: unescapeID(local)}
	if k.Dataset == "" || k.ID == "" || string(appendID(nil, k)) != id {
		return fault()
	}
	return k, nil
}

// unescapeID undoes escapeID; what is wrong with s parseID finds by writing the
// result again.
func unescapeID(s string) string {
	if !strings.Contains(s, "~") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '~' && i+2 < len(s) {
			hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
			if hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

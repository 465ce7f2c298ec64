package streams

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"cityhub/twin"
)

// The functions of this file append JSON to a buffer and allocate nothing
// beyond its growth: they run once for every reading.

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD, and
// the line separators U+2028 and U+2029, which break JavaScript and would
// break no JSON, are escaped.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\ufffd"...)
			start = i + size
		case r == '\u2028' || r == '\u2029':
			dst = append(dst, s[start:i]...)
			dst = append(dst, '\\', 'u', '2', '0', '2', hexDigits[r&15])
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendFloat appends the shortest decimal that reads back as v, in the form
// that ECMAScript and encoding/json use; null for NaN and the infinities, which
// JSON has no word for.
func appendFloat(dst []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	// Whole numbers are most of what counters and levels send.
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 && (v != 0 || !math.Signbit(v)) {
		return strconv.AppendInt(dst, int64(v), 10)
	}
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		dst = strconv.AppendFloat(dst, v, 'e', -1, 64)
		// e-09 is written e-9.
		if n := len(dst); n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
			dst[n-2] = dst[n-1]
			dst = dst[:n-1]
		}
		return dst
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}

// appendMillis appends a time in ns as ms, with a fraction only if it has one.
func appendMillis(dst []byte, ns int64) []byte {
	ms, frac := ns/1e6, ns%1e6
	if frac == 0 {
		return strconv.AppendInt(dst, ms, 10)
	}
	if ns < 0 {
		dst = append(dst, '-')
		ms, frac = -ms, -frac
	}
	dst = strconv.AppendInt(dst, ms, 10)
	dst = append(dst, '.')
	for div := int64(1e5); frac > 0; div /= 10 {
		dst = append(dst, byte('0'+frac/div))
		frac %= div
	}
	return dst
}

// appendObservation appends [datastream, ms, result, quality]. A truth is kept
// as 1 or 0 and sent as true or false.
func appendObservation(dst []byte, o *twin.Observation, truth bool) []byte {
	dst = append(dst, '[')
	dst = strconv.AppendInt(dst, int64(o.Datastream), 10)
	dst = append(dst, ',')
	dst = appendMillis(dst, o.PhenomenonNs)
	dst = append(dst, ',')
	switch {
	case o.IsText:
		dst = appendString(dst, o.Text)
	case truth && !math.IsNaN(o.Value):
		dst = strconv.AppendBool(dst, o.Value != 0)
	default:
		dst = appendFloat(dst, o.Value)
	}
	dst = append(dst, ',')
	dst = strconv.AppendUint(dst, uint64(o.Quality), 10)
	return append(dst, ']')
}

func appendPosition(dst []byte, p twin.Position) []byte {
	dst = append(dst, `"position":{"epoch":`...)
	dst = appendString(dst, p.Epoch)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendUint(dst, p.Offset, 10)
	return append(dst, '}')
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, `"time":"`...)
	dst = t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	return append(dst, '"')
}

// appendDatastream appends the description of ds. Every member is always there;
// lon and lat are null for a Datastream without a Location.
func appendDatastream(dst []byte, ds *twin.Datastream, l Labels) []byte {
	name, nameEn := ds.ThingName, ds.ThingNameEn
	if name == "" {
		name = ds.Name
	}
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendInt(dst, int64(ds.ID), 10)
	for _, m := range [...]struct{ key, value string }{
		{`,"terminal":`, ds.Terminal},
		{`,"name":`, name},
		{`,"nameEn":`, nameEn},
		{`,"property":`, ds.PropertyName},
		{`,"title":`, l.Title},
		{`,"titleEn":`, l.TitleEn},
		{`,"unit":`, ds.Unit.Symbol},
		{`,"ucum":`, ds.Unit.Code},
		{`,"result":`, string(ds.Result)},
		{`,"domain":`, string(ds.Domain)},
		{`,"dataset":`, l.Dataset},
	} {
		dst = append(dst, m.key...)
		dst = appendString(dst, m.value)
	}
	dst = append(dst, `,"lon":`...)
	dst = appendFloat(dst, ds.Lon)
	dst = append(dst, `,"lat":`...)
	dst = appendFloat(dst, ds.Lat)
	dst = append(dst, `,"simulated":`...)
	dst = strconv.AppendBool(dst, ds.Simulated)
	return append(dst, '}')
}

package streams

import (
	"math"
	"strconv"
	"time"

	"cityhub/internal/jsonenc"
	"cityhub/twin"
)

// The functions of this file append JSON to a buffer and allocate nothing
// beyond its growth: they run once for every reading.

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
		dst = jsonenc.AppendString(dst, o.Text)
	case truth && !math.IsNaN(o.Value):
		dst = strconv.AppendBool(dst, o.Value != 0)
	default:
		dst = jsonenc.AppendFloat(dst, o.Value)
	}
	dst = append(dst, ',')
	dst = strconv.AppendUint(dst, uint64(o.Quality), 10)
	return append(dst, ']')
}

func appendPosition(dst []byte, p twin.Position) []byte {
	dst = append(dst, `"position":{"epoch":`...)
	dst = jsonenc.AppendString(dst, p.Epoch)
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
		dst = jsonenc.AppendString(dst, m.value)
	}
	dst = append(dst, `,"lon":`...)
	dst = jsonenc.AppendFloat(dst, ds.Lon)
	dst = append(dst, `,"lat":`...)
	dst = jsonenc.AppendFloat(dst, ds.Lat)
	dst = append(dst, `,"simulated":`...)
	dst = strconv.AppendBool(dst, ds.Simulated)
	return append(dst, '}')
}

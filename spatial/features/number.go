package features

import (
	"math"
	"strconv"

	"cityhub/internal/jsonenc"
)

// appendFixed appends v with at most so many decimals, without the zeros at
// its end. It is exact for what has been rounded to as many.
func appendFixed(dst []byte, v float64, decimals int) []byte {
	scale := 1e3
	if decimals == 9 {
		scale = 1e9
	} else {
		decimals = 3
	}
	scaled := math.Round(v * scale)
	if !(math.Abs(scaled) < 1<<53) {
		return jsonenc.AppendFloat(dst, v)
	}
	n := int64(scaled)
	if n < 0 {
		dst = append(dst, '-')
		n = -n
	}
	unit := int64(scale)
	dst = strconv.AppendInt(dst, n/unit, 10)
	frac := n % unit
	if frac == 0 {
		return dst
	}
	for frac%10 == 0 {
		frac /= 10
		decimals--
	}
	var digits [9]byte
	for i := decimals - 1; i >= 0; i-- {
		digits[i] = byte('0' + frac%10)
		frac /= 10
	}
	dst = append(dst, '.')
	return append(dst, digits[:decimals]...)
}

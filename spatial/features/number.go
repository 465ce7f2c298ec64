package features

import (
	"math"

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
	negative := n < 0
	if negative {
		n = -n
	}
	// From the last digit to the first, in one go.
	var digits [24]byte
	i := len(digits)
	u := uint64(n)
	for decimals > 0 && u%10 == 0 {
		u /= 10
		decimals--
	}
	if decimals > 0 {
		for range decimals {
			i--
			digits[i] = byte('0' + u%10)
			u /= 10
		}
		i--
		digits[i] = '.'
	}
	for {
		i--
		digits[i] = byte('0' + u%10)
		if u /= 10; u == 0 {
			break
		}
	}
	if negative {
		i--
		digits[i] = '-'
	}
	return append(dst, digits[i:]...)
}

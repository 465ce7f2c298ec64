package manifest

import "strings"

// UnitOf is the Unit of a UCUM code written alone. The codes in common use in
// a city have their name and symbol; any other shows as its code.
func UnitOf(ucum string) Unit {
	if u, ok := commonUnit(ucum); ok {
		return u
	}
	return Unit{Name: ucum, Symbol: ucum, UCUM: ucum}
}

// validUCUM checks the characters of a code, not its grammar: printable ASCII
// without blanks. That tells a code from a symbol such as µg/m³.
func validUCUM(s string) bool {
	if s == "" || len(s) > maxCodeLen {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// asciiUnit proposes the UCUM code for a symbol, or "".
func asciiUnit(symbol string) string {
	s := strings.NewReplacer("µ", "u", "μ", "u", "²", "2", "³", "3", "℃", "Cel", "°C", "Cel", "°", "deg", "Ω", "Ohm", "％", "%", " ", "").Replace(symbol)
	if s != symbol && validUCUM(s) {
		return s
	}
	return ""
}

func commonUnit(ucum string) (Unit, bool) {
	name, symbol := "", ucum
	switch ucum {
	case "1":
		name, symbol = "one", ""
	case "%":
		name = "percent"
	case "ug/m3":
		name, symbol = "microgram per cubic metre", "µg/m³"
	case "mg/m3":
		name, symbol = "milligram per cubic metre", "mg/m³"
	case "mg/L":
		name = "milligram per litre"
	case "Cel":
		name, symbol = "degree Celsius", "°C"
	case "K":
		name = "kelvin"
	case "Pa":
		name = "pascal"
	case "hPa":
		name = "hectopascal"
	case "kPa":
		name = "kilopascal"
	case "m":
		name = "metre"
	case "mm":
		name = "millimetre"
	case "km":
		name = "kilometre"
	case "m2":
		name, symbol = "square metre", "m²"
	case "m3":
		name, symbol = "cubic metre", "m³"
	case "m3/s":
		name, symbol = "cubic metre per second", "m³/s"
	case "m/s":
		name = "metre per second"
	case "m/s2":
		name, symbol = "metre per second squared", "m/s²"
	case "km/h":
		name = "kilometre per hour"
	case "mm/s":
		name = "millimetre per second"
	case "mm/h":
		name = "millimetre per hour"
	case "deg":
		name, symbol = "degree", "°"
	case "s":
		name = "second"
	case "min":
		name = "minute"
	case "h":
		name = "hour"
	case "V":
		name = "volt"
	case "A":
		name = "ampere"
	case "mA":
		name = "milliampere"
	case "W":
		name = "watt"
	case "kW":
		name = "kilowatt"
	case "kW.h":
		name, symbol = "kilowatt hour", "kWh"
	case "W/m2":
		name, symbol = "watt per square metre", "W/m²"
	case "Hz":
		name = "hertz"
	case "lx":
		name = "lux"
	case "dB":
		name = "decibel"
	case "dB[SPL]":
		name, symbol = "decibel of sound pressure", "dB"
	case "[pH]":
		name, symbol = "pH", "pH"
	case "{NTU}":
		name, symbol = "nephelometric turbidity unit", "NTU"
	case "[ppm]":
		name, symbol = "parts per million", "ppm"
	case "[ppb]":
		name, symbol = "parts per billion", "ppb"
	case "uS/cm":
		name, symbol = "microsiemens per centimetre", "µS/cm"
	case "kg":
		name = "kilogram"
	case "g":
		name = "gram"
	case "L":
		name = "litre"
	case "/h":
		name, symbol = "per hour", "1/h"
	case "/min":
		name, symbol = "per minute", "1/min"
	default:
		return Unit{}, false
	}
	return Unit{Name: name, Symbol: symbol, UCUM: ucum}, true
}

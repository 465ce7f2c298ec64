package crs

import (
	"errors"
	"strconv"
	"strings"

	"cityhub/spatial"
)

// Reference reads what Parse reads and gives it as a plain spatial.CRS, as
// objects carry it. Unlike Parse it accepts an EPSG code that is not known
// here, so that what refuses it can name it: the code becomes Horizontal, and
// nothing is known of its heights. Whether X and Y come in the order of the
// definition is not the reference's business: see AxisOrder.
//
// The error is a *SyntaxError, an *UnknownError for an authority that is none
// of EPSG and OGC, or a *VerticalError.
func Reference(s string) (spatial.CRS, error) {
	r, err := parse(s)
	if err != nil {
		return spatial.CRS{}, err
	}
	c, err := lookup(r.authority, r.code)
	var unknown *UnknownError
	switch {
	case err == nil && r.vertical == "":
		return c.Plain(), nil
	case err == nil:
		combined, err := combine(c, r.vertical)
		if err == nil {
			return combined.Plain(), nil
		}
		if !errors.As(err, &unknown) {
			return spatial.CRS{}, err
		}
	case !errors.As(err, &unknown) || r.authority != "EPSG":
		return spatial.CRS{}, err
	}
	p, ok := plainCode(r.code)
	if !ok {
		return spatial.CRS{}, err
	}
	if v := verticalOf(r.code); v.Known() { // a vertical CRS stands where the horizontal one should
		return spatial.CRS{}, err
	}
	if r.vertical != "" {
		if p.Vertical, ok = epsgNumber(r.vertical); !ok {
			return spatial.CRS{}, &UnknownError{Authority: "EPSG", Code: shorten(r.vertical)}
		}
		p.VerticalDatum = verticalOf(r.vertical).Short()
	}
	return p, nil
}

// EPSG is the plain CRS of an EPSG code. A compound or three-dimensional code
// becomes its parts, a vertical one has no horizontal part; of a code that is not
// known here nothing but the number is known, as a horizontal one.
func EPSG(code int) spatial.CRS {
	if c, err := ByCode(code); err == nil {
		return c.Plain()
	}
	if v := verticalOf(strconv.Itoa(code)); v.Known() {
		return spatial.CRS{Vertical: code, VerticalDatum: v.Short()}
	}
	p, _ := plainCode(strconv.Itoa(code))
	return p
}

func plainCode(code string) (spatial.CRS, bool) {
	n, ok := epsgNumber(code)
	return spatial.CRS{Horizontal: n}, ok
}

// epsgNumber reads an EPSG code. They end well below a million.
func epsgNumber(code string) (int, bool) {
	n, err := strconv.Atoi(code)
	return n, err == nil && n > 0 && n < 1<<20
}

// VerticalEPSG is the datum of a vertical CRS with an EPSG code, known here or
// not.
func VerticalEPSG(code int) VerticalDatum { return verticalOf(strconv.Itoa(code)) }

func verticalOf(code string) VerticalDatum { return VerticalDatum("EPSG:" + code) }

// Plain is c as objects carry it.
func (c *CRS) Plain() spatial.CRS {
	p := spatial.CRS{Horizontal: spatial.CRS84}
	if h := c.Horizontal(); h.authority == "EPSG" {
		p.Horizontal, _ = epsgNumber(h.code)
	}
	if v := c.vertical; v != NoVertical {
		p.VerticalDatum = v.Short()
		if code, ok := strings.CutPrefix(string(v), "EPSG:"); ok {
			p.Vertical, _ = epsgNumber(code)
		}
	}
	return p
}

// Short is the name of v that people use, e.g. "NAP" or "1985国家高程基准";
// spatial.Ellipsoid for Ellipsoidal, and empty for NoVertical and datums that
// are not known.
func (v VerticalDatum) Short() string {
	for _, k := range verticalNames {
		if k.datum == v {
			return k.short
		}
	}
	return ""
}

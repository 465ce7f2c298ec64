// Package crs converts coordinates between the coordinate reference systems
// that city models and city data come in, by EPSG code, in pure Go and without
// grid files.
//
// # What is known
//
// WGS 84 (EPSG:4326, 4979, OGC:CRS84, CRS84h, UTM 326xx and 327xx, Web Mercator
// 3857), CGCS2000 (4490, 4480, Gauss-Krüger zones 4491–4554), ETRS89 (4258,
// 4937, UTM 25828–25837, with German heights 5554–5556), the Netherlands (4289,
// 28992, 7415), Austria (4312, 31254–31259, 31284–31286) and Japan (6668, 6667,
// 6697, plane rectangular 6669–6687, with heights 10162–10174). Codes lists them
// all; any of them can be combined with a vertical CRS (CRS.WithVertical). GCJ-02 is no reference system but a
// disguise of WGS 84: it has a type of its own, GCJ02, and no code.
//
// # Axis order
//
// EPSG:4326 is latitude, longitude; EPSG:4549 is northing, easting; EPSG:28992
// is easting, northing; GeoJSON and most files are east first whatever their
// code says. No default is right, so there is none: a CRS takes part in a
// Transform only as c.Defined(), the order of the axes in its definition, or as
// c.Traditional(), east or longitude first ("traditional GIS order").
// Geographic coordinates are degrees, projected ones metres.
//
// # Heights
//
// A height is metres above a named VerticalDatum and is never converted
// silently: without geoid grids there is no conversion that could be trusted.
// See HeightRule for what a caller may ask for.
//
// # How it is computed, and how well
//
// Transverse Mercator is the Krüger series to n⁶ (Karney 2011), accurate to
// nanometres up to eastings 3 900 km from the central meridian and refused
// beyond. RD New is the double stereographic projection of EPSG method 9809. Both are inverted
// to better than a micrometre. Between datums everything passes through one
// hub, taken as WGS 84:
//
//   - ETRS89, CGCS2000 and JGD2011 are taken as equal to it. As frames, each at
//     its own epoch, they agree within centimetres. A position measured in
//     today's WGS 84 differs by what the plate has moved since that epoch
//     (about 3 cm a year in China and Europe, more in Japan, where 2011's
//     earthquake is in the frame but later ones are not): 1 m is stated, as
//     EPSG does for ETRS89 and JGD2011.
//   - Amersfoort (RD) is shifted by the seven parameters of EPSG:9281,
//     "Amersfoort to ETRS89 (8)": 0.25 m against ETRS89.
//   - MGI (Austria) is shifted by the seven parameters of EPSG:1619, "MGI to
//     ETRS89 (1)": 1.5 m.
//
// A datum shift is computed at height 0 of the older datum in both directions,
// so that there and back is the same point; the neglected effect of a height is
// about 1.5 mm per 100 m, far below the shift's own accuracy.
// Transform.AccuracyMetres gives the figure for a pair.
//
// # Use
//
//	rd, err := crs.Parse("https://www.opengis.net/def/crs/EPSG/0/28992")
//	…
//	t, err := crs.Between(rd.Traditional(), crs.WGS84().Traditional(), crs.Options{})
//	…
//	err = t.Flat(xyz, xyz, 3) // in place, without allocation
//
// A CRS and a Transform do not change after they are made: goroutines may share
// them.
package crs

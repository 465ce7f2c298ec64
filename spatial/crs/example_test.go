package crs_test

import (
	"fmt"

	"cityhub/spatial/crs"
)

// A CityJSON file names EPSG:28992 and holds easting, northing and height
// above NAP.
func Example() {
	rd, err := crs.Parse("https://www.opengis.net/def/crs/EPSG/0/28992")
	if err != nil {
		panic(err)
	}
	rd, err = rd.WithVertical(crs.NAP)
	if err != nil {
		panic(err)
	}
	t, err := crs.Between(rd.Defined(), crs.WGS84().Traditional(), crs.Options{InArea: true})
	if err != nil {
		panic(err)
	}
	xyz := []float64{90409.32, 435440.44, 1.37, 91453.879, 436089.946, 41.158}
	if err := t.Flat(xyz, xyz, 3); err != nil {
		panic(err)
	}
	fmt.Printf("%.6f %.6f %.2f m above %s\n", xyz[0], xyz[1], xyz[2], t.Vertical().Name())
	fmt.Printf("%.6f %.6f %.2f m, within %.2f m\n", xyz[3], xyz[4], xyz[5], t.AccuracyMetres())
	// Output:
	// 4.448632 51.903717 1.37 m above NAP height
	// 4.463688 51.909674 41.16 m, within 1.25 m
}

// A height above NAP becomes one above the ellipsoid only with the separation
// of the two, which the caller has to know.
func ExampleOptions() {
	from, _ := crs.ByCode(7415)
	to, _ := crs.ByCode(4979)
	_, err := crs.Between(from.Defined(), to.Traditional(), crs.Options{})
	fmt.Println(err)
	t, err := crs.Between(from.Defined(), to.Traditional(), crs.Options{Heights: crs.HeightsShifted, HeightShiftMetres: 43.5})
	if err != nil {
		panic(err)
	}
	_, _, h, err := t.XYZ(90409.32, 435440.44, 1.37)
	fmt.Printf("%.2f m above the ellipsoid, %v\n", h, err)
	// Output:
	// heights: NAP height to ellipsoidal height: there is no conversion without a geoid model; carry the heights as they are or give the separation (Options.Heights)
	// 44.87 m above the ellipsoid, <nil>
}

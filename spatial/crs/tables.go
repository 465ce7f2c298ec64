package crs

var (
	world       = Area{-180, -90, 180, 90}
	chinaArea   = Area{73.62, 16.7, 134.77, 53.56}
	europeArea  = Area{-16.1, 33.26, 38.01, 84.73}
	dutchArea   = Area{3.2, 50.75, 7.22, 53.7}
	austrArea   = Area{9.53, 46.4, 17.17, 49.02}
	austrWest   = Area{9.53, 46.77, 11.84, 47.61}
	austrMiddle = Area{11.83, 46.4, 14.84, 48.79}
	austrEast   = Area{14.83, 46.56, 17.17, 49.02}
)

// threeDimensional are the CRSs with heights that have a code of their own.
var threeDimensional = []struct {
	code, horizontal string
	vertical         VerticalDatum
	name             string
	area             Area
}{
	{"4979", "4326", Ellipsoidal, "WGS 84", world},
	{"9518", "4326", EGM2008, "WGS 84 + EGM2008 height", world},
	{"9707", "4326", EGM96, "WGS 84 + EGM96 height", world},
	{"4937", "4258", Ellipsoidal, "ETRS89", europeArea},
	{"4480", "4490", Ellipsoidal, "China Geodetic Coordinate System 2000", chinaArea},
	{"6667", "6668", Ellipsoidal, "JGD2011", Area{122.38, 17.09, 157.65, 46.05}},
	{"6697", "6668", JGD2011Height, "JGD2011 + JGD2011 (vertical) height", Area{129.3, 30.94, 145.87, 45.54}},
	{"7415", "28992", NAP, "Amersfoort / RD New + NAP height", dutchArea},
	{"10162", "6669", JGD2011Height, "JGD2011 / Japan Plane Rectangular CS I + JGD2011 (vertical) height", Area{129.3, 32.51, 130.46, 33.49}},
	{"10163", "6670", JGD2011Height, "JGD2011 / Japan Plane Rectangular CS II + JGD2011 (vertical) height", Area{129.76, 30.94, 132.05, 33.99}},
	{"10164", "6671", JGD2011Height, "JGD2011 / Japan Plane Rectangular CS III + JGD2011 (vertical) height", Area{130.81, 33.72, 133.49, 35.64}},
	{"10165", "6672", JGD2011Height, "JGD2011 / Japan Plane Rectangular CS IV + JGD2011 (vertical) height", Area{131.95, 32.69, 134.81, 34.45}},
	{"10166", "6673", JGD2011Height, "JGD2011 / Japan Plane Rectangular CS V + JGD2011 (vertical) height", Area{133.13, 34.13, 135.47, 35.71}},
	{"10167", "6674", JGD2011Height, "JGD2011 / Japan Plane Rectangular CS VI + JGD2011 (vertical) height", Area{134.86, 33.4, 136.99, 36.33}},
	{"10168", "6675", JGD2011Height, "JGD2011 / Japan Plane Rectangular CS VII + JGD2011 (vertical) height", Area{136.22, 34.51, 137.84, 37.58}},
	{"10169", "6676", JGD2011Height, "JGD2011 / Japan Plane Rectangular CS VIII + JGD2011 (vertical) height", Area{137.32, 34.54, 139.91, 38.58}},
	{"10170", "6677", JGD2011Height, "JGD2011 / Japan Plane Rectangular CS IX + JGD2011 (vertical) height", Area{138.4, 34.84, 141.11, 37.98}},
	{"10171", "6678", JGD2011Height, "JGD2011 / Japan Plane Rectangular CS X + JGD2011 (vertical) height", Area{139.49, 37.73, 142.14, 41.58}},
	{"10172", "6679", JGD2011Height, "JGD2011 / Japan Plane Rectangular CS XI + JGD2011 (vertical) height", Area{139.7, 41.34, 141.46, 43.42}},
	{"10173", "6680", JGD2011Height, "JGD2011 / Japan Plane Rectangular CS XII + JGD2011 (vertical) height", Area{141, 42.15, 143.61, 45.54}},
	{"10174", "6681", JGD2011Height, "JGD2011 / Japan Plane Rectangular CS XIII + JGD2011 (vertical) height", Area{142.61, 41.87, 145.87, 44.4}},
	{"5554", "25831", DHHN92, "ETRS89 / UTM zone 31N + DHHN92 height", Area{5.86, 50.97, 6.01, 51.83}},
	{"5555", "25832", DHHN92, "ETRS89 / UTM zone 32N + DHHN92 height", Area{6, 47.27, 12, 55.09}},
	{"5556", "25833", DHHN92, "ETRS89 / UTM zone 33N + DHHN92 height", Area{12, 47.46, 15.04, 54.74}},
}

// austria are the Gauss-Krüger systems of MGI.
var austria = []struct {
	code     int
	name     string
	meridian float64 // degrees
	fe, fn   float64 // metres
	area     Area
}{
	{31254, "GK West", 10 + 1./3, 0, -5e6, austrWest},
	{31255, "GK Central", 13 + 1./3, 0, -5e6, austrMiddle},
	{31256, "GK East", 16 + 1./3, 0, -5e6, austrEast},
	{31257, "GK M28", 10 + 1./3, 150e3, -5e6, austrWest},
	{31258, "GK M31", 13 + 1./3, 450e3, -5e6, austrMiddle},
	{31259, "GK M34", 16 + 1./3, 750e3, -5e6, austrEast},
	{31284, "M28", 10 + 1./3, 150e3, 0, austrWest},
	{31285, "M31", 13 + 1./3, 450e3, 0, austrMiddle},
	{31286, "M34", 16 + 1./3, 750e3, 0, austrEast},
}

// japan are the origins of the plane rectangular systems 6669 to 6687.
var japan = []struct {
	name     string
	lat, lon float64 // degrees
	area     Area
}{
	{"I", 33, 129.5, Area{128.17, 26.96, 130.46, 34.74}},
	{"II", 33, 131, Area{129.76, 30.18, 132.05, 33.99}},
	{"III", 36, 132 + 1./6, Area{130.81, 33.72, 133.49, 36.38}},
	{"IV", 33, 133.5, Area{131.95, 32.69, 134.81, 34.45}},
	{"V", 36, 134 + 1./3, Area{133.13, 34.13, 135.47, 35.71}},
	{"VI", 36, 136, Area{134.86, 33.4, 136.99, 36.33}},
	{"VII", 36, 137 + 1./6, Area{136.22, 34.51, 137.84, 37.58}},
	{"VIII", 36, 138.5, Area{137.32, 34.54, 139.91, 38.58}},
	{"IX", 36, 139 + 5./6, Area{138.4, 29.31, 141.11, 37.98}},
	{"X", 40, 140 + 5./6, Area{139.49, 37.73, 142.14, 41.58}},
	{"XI", 44, 140.25, Area{139.34, 41.34, 141.46, 43.42}},
	{"XII", 44, 142.25, Area{140.89, 42.15, 143.61, 45.54}},
	{"XIII", 44, 144.25, Area{142.61, 41.87, 145.87, 44.4}},
	{"XIV", 26, 142, Area{141.2, 24.67, 142.33, 27.8}},
	{"XV", 26, 127.5, Area{126.63, 26.02, 128.4, 26.91}},
	{"XVI", 26, 124, Area{122.83, 23.98, 125.51, 24.94}},
	{"XVII", 26, 131, Area{131.12, 24.4, 131.38, 26.01}},
	{"XVIII", 20, 136, Area{136.02, 20.37, 136.16, 20.48}},
	{"XIX", 26, 154, Area{153.91, 24.22, 154.05, 24.35}},
}

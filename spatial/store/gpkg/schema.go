package gpkg

import (
	"strconv"
	"strings"

	"cityhub/spatial"
)

const (
	applicationID = 0x47504B47 // "GPKG", OGC 12-128r17 requirement 2
	userVersion   = 10300      // GeoPackage 1.3
	schemaVersion = 2          // of the cityhub tables
)

// table is the feature table of a class.
type table struct {
	class spatial.Class
	name  string
	title string
	about string
}

// tables are the feature tables in their order. The last has what is of no class.
func tables() []table {
	return []table{
		{spatial.ClassRoad, "road", "道路 Roads", "Roads, railways, squares and bridges"},
		{spatial.ClassBuilding, "building", "建筑 Buildings", "Buildings and their parts"},
		{spatial.ClassWater, "water", "水系 Water", "Water bodies and waterways"},
		{spatial.ClassUnderground, "underground", "地下空间 Underground", "Tunnels, pipes and what else lies underground"},
		{spatial.ClassComponent, "component", "城市部件 Components", "City furniture, vegetation and other components"},
		{"", "other", "其他 Other", "Objects that are of none of the five classes, such as terrain and land use"},
	}
}

// tableOf is the name of a class's table; the class is valid or empty.
func tableOf(class spatial.Class) string {
	if class == "" {
		return "other"
	}
	return string(class)
}

// columns are those of a version, common to the feature tables and the history.
const columns = `fid, geom, dataset, id, type, name, cim_level, attributes, parents, children, height_m, base_m, height_from,` +
	` source_epsg, height_epsg, height_datum, source_file, source_line, source_offset, version, valid_from, low_m, high_m`

const columnTypes = `
	geom GEOMETRY, dataset TEXT NOT NULL, id TEXT NOT NULL, type TEXT, name TEXT, cim_level INTEGER,
	attributes TEXT NOT NULL, parents TEXT, children TEXT, height_m DOUBLE, base_m DOUBLE, height_from TEXT,
	source_epsg INTEGER NOT NULL, height_epsg INTEGER, height_datum TEXT,
	source_file TEXT, source_line INTEGER, source_offset INTEGER, version INTEGER NOT NULL, valid_from DATETIME NOT NULL, low_m DOUBLE, high_m DOUBLE`

const wgs84WKT = `GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]],AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],AXIS["Latitude",NORTH],AXIS["Longitude",EAST],AUTHORITY["EPSG","4326"]]`

const cgcs2000WKT = `GEOGCS["China Geodetic Coordinate System 2000",DATUM["China_2000",SPHEROID["CGCS2000",6378137,298.257222101,AUTHORITY["EPSG","1024"]],AUTHORITY["EPSG","1043"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],AXIS["Latitude",NORTH],AXIS["Longitude",EAST],AUTHORITY["EPSG","4490"]]`

// schema creates the tables of a new file (OGC 12-128r17 annex C, and FORMAT.md).
func schema() string {
	var b strings.Builder
	b.WriteString(`
CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER PRIMARY KEY, organization TEXT NOT NULL,
	organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
INSERT INTO gpkg_spatial_ref_sys VALUES
	('Undefined Cartesian SRS', -1, 'NONE', -1, 'undefined', 'undefined Cartesian coordinate reference system'),
	('Undefined geographic SRS', 0, 'NONE', 0, 'undefined', 'undefined geographic coordinate reference system'),
	('WGS 84 geodetic', 4326, 'EPSG', 4326, '` + wgs84WKT + `', 'longitude/latitude coordinates in decimal degrees on the WGS 84 spheroid'),
	('CGCS2000', 4490, 'EPSG', 4490, '` + cgcs2000WKT + `', 'longitude/latitude coordinates in decimal degrees, China Geodetic Coordinate System 2000');
CREATE TABLE gpkg_contents (table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE, description TEXT DEFAULT '',
	last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')), min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
	CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL,
	z TINYINT NOT NULL, m TINYINT NOT NULL, CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name), CONSTRAINT uk_gc_table_name UNIQUE (table_name),
	CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
	CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id));
CREATE TABLE gpkg_extensions (table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL, definition TEXT NOT NULL, scope TEXT NOT NULL,
	CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name));
CREATE TABLE cityhub_model (one INTEGER PRIMARY KEY CHECK (one = 1), schema INTEGER NOT NULL, last_fid INTEGER NOT NULL, last_version INTEGER NOT NULL, last_import DATETIME);
INSERT INTO cityhub_model VALUES (1, ` + strconv.Itoa(schemaVersion) + `, 0, 0, NULL);
CREATE TABLE cityhub_import (id INTEGER PRIMARY KEY AUTOINCREMENT, dataset TEXT NOT NULL, at DATETIME NOT NULL, complete INTEGER NOT NULL,
	added INTEGER NOT NULL, updated INTEGER NOT NULL, unchanged INTEGER NOT NULL, ended INTEGER NOT NULL, version INTEGER NOT NULL DEFAULT 0);
INSERT INTO gpkg_contents (table_name, data_type, identifier, description) VALUES ('cityhub_import', 'attributes', '导入 Imports', 'The imports that changed the city model');
CREATE TABLE cityhub_version (version INTEGER PRIMARY KEY, hash BLOB NOT NULL, geometries BLOB NOT NULL);
CREATE TABLE cityhub_part (dataset TEXT NOT NULL, parent TEXT NOT NULL, child TEXT NOT NULL, PRIMARY KEY (dataset, parent, child)) WITHOUT ROWID;
CREATE TABLE cityhub_history (class TEXT NOT NULL, valid_to DATETIME NOT NULL, fid INTEGER NOT NULL,` + strings.Replace(columnTypes, "version INTEGER NOT NULL", "version INTEGER PRIMARY KEY", 1) + `);
CREATE INDEX cityhub_history_object ON cityhub_history (dataset, id, version);
CREATE INDEX cityhub_history_order ON cityhub_history (class, fid, version);
CREATE INDEX cityhub_history_end ON cityhub_history (valid_to);
`)
	for _, name := range []string{"cityhub_model", "cityhub_version", "cityhub_part", "cityhub_history"} {
		b.WriteString(`INSERT INTO gpkg_extensions VALUES ('` + name + `', NULL, 'cityhub_city_model', 'cityhub: spatial/store/gpkg/FORMAT.md', 'read-write');` + "\n")
	}
	for _, t := range tables() {
		b.WriteString(strings.NewReplacer("<t>", t.name, "<title>", t.title, "<about>", t.about).Replace(`
CREATE TABLE <t> (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,` + columnTypes + `);
CREATE UNIQUE INDEX <t>_object ON <t> (dataset, id);
CREATE INDEX <t>_version ON <t> (version);
INSERT INTO gpkg_contents (table_name, data_type, identifier, description, srs_id) VALUES ('<t>', 'features', '<title>', '<about>', 4326);
INSERT INTO gpkg_geometry_columns VALUES ('<t>', 'geom', 'GEOMETRY', 4326, 0, 0);
INSERT INTO gpkg_extensions VALUES ('<t>', 'geom', 'gpkg_rtree_index', 'http://www.geopackage.org/spec120/#extension_rtree', 'write-only');
CREATE VIRTUAL TABLE rtree_<t>_geom USING rtree(id, minx, maxx, miny, maxy);
`))
		for _, trigger := range triggers(t.name) {
			b.WriteString(trigger.create)
		}
	}
	return b.String()
}

// trigger keeps an R*Tree as other programs change a feature table.
type trigger struct{ name, create string }

// triggers are those of OGC 12-128r17 annex F.3. They call functions that
// programs with GeoPackage support have. An import of this package drops them
// while it writes the R*Trees itself.
func triggers(name string) []trigger {
	const put = `INSERT OR REPLACE INTO rtree_<t>_geom VALUES (NEW.fid, ST_MinX(NEW.geom), ST_MaxX(NEW.geom), ST_MinY(NEW.geom), ST_MaxY(NEW.geom));`
	const drop = `DELETE FROM rtree_<t>_geom WHERE id = OLD.fid;`
	var all []trigger
	for _, t := range [][2]string{
		{"insert", `AFTER INSERT ON <t> WHEN (NEW.geom NOT NULL AND NOT ST_IsEmpty(NEW.geom)) BEGIN ` + put},
		{"update1", `AFTER UPDATE OF geom ON <t> WHEN OLD.fid = NEW.fid AND (NEW.geom NOT NULL AND NOT ST_IsEmpty(NEW.geom)) BEGIN ` + put},
		{"update2", `AFTER UPDATE OF geom ON <t> WHEN OLD.fid = NEW.fid AND (NEW.geom IS NULL OR ST_IsEmpty(NEW.geom)) BEGIN ` + drop},
		{"update3", `AFTER UPDATE ON <t> WHEN OLD.fid != NEW.fid AND (NEW.geom NOT NULL AND NOT ST_IsEmpty(NEW.geom)) BEGIN ` + drop + ` ` + put},
		{"update4", `AFTER UPDATE ON <t> WHEN OLD.fid != NEW.fid AND (NEW.geom IS NULL OR ST_IsEmpty(NEW.geom)) BEGIN DELETE FROM rtree_<t>_geom WHERE id IN (OLD.fid, NEW.fid);`},
		{"delete", `AFTER DELETE ON <t> WHEN OLD.geom NOT NULL BEGIN ` + drop},
	} {
		n := "rtree_" + name + "_geom_" + t[0]
		all = append(all, trigger{n, strings.ReplaceAll("CREATE TRIGGER "+n+" "+t[1]+" END;\n", "<t>", name)})
	}
	return all
}

package export

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/encoding/wkb"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// gpkgWriter makes a GeoPackage of one feature table with its R*Tree index in a
// temporary file, and copies it when it is complete.
type gpkgWriter struct {
	out    io.Writer
	o      Options
	p      *projector
	dir    string
	db     *sql.DB
	tx     *sql.Tx
	insert *sql.Stmt
	index  *sql.Stmt
	args   []any
	wkb    bytes.Buffer
	fid    int64
	bound  orb.Bound
	any    bool
}

const gpkgTime = "2006-01-02T15:04:05.000Z" // DATETIME of OGC 12-128r17 table 1

// quote quotes an SQL name.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal quotes an SQL text.
func literal(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }

func newGeoPackage(w io.Writer, o Options, p *projector) (_ *gpkgWriter, err error) {
	if strings.HasPrefix(o.Name, "gpkg_") || strings.HasPrefix(o.Name, "sqlite_") || strings.HasPrefix(o.Name, "rtree_") || strings.ContainsRune(o.Name, 0) {
		return nil, &Error{"Name", fmt.Sprintf("found %q, expected a name that GeoPackage and SQLite do not keep for themselves", o.Name)}
	}
	g := &gpkgWriter{out: w, o: o, p: p}
	// SQLite's URIs take absolute paths only.
	dir := o.TempDir
	if dir != "" {
		if dir, err = filepath.Abs(dir); err != nil {
			return nil, err
		}
	}
	if g.dir, err = os.MkdirTemp(dir, "cityhub-export-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			g.Abort()
		}
	}()
	// A file that is thrown away when something fails needs no journal.
	params := url.Values{"_pragma": {"journal_mode(OFF)", "synchronous(OFF)", "locking_mode(EXCLUSIVE)", "cache_size(-16384)"}}
	name := url.URL{Scheme: "file", Path: g.file(), RawQuery: params.Encode()}
	if g.db, err = sql.Open("sqlite", name.String()); err != nil {
		return nil, err
	}
	g.db.SetMaxOpenConns(1)
	schema, err := g.schema()
	if err != nil {
		return nil, err
	}
	if _, err = g.db.Exec(schema); err != nil {
		return nil, err
	}
	if g.tx, err = g.db.BeginTx(context.Background(), nil); err != nil {
		return nil, err
	}
	names, marks := "fid, geom", "?, ?"
	for _, c := range o.Columns {
		names += ", " + quote(c.Name)
		marks += ", ?"
	}
	if g.insert, err = g.tx.Prepare("INSERT INTO " + quote(o.Name) + " (" + names + ") VALUES (" + marks + ")"); err != nil {
		return nil, err
	}
	g.index, err = g.tx.Prepare("INSERT INTO " + quote(g.rtree()) + " VALUES (?, ?, ?, ?, ?)")
	return g, err
}

func (g *gpkgWriter) file() string  { return filepath.Join(g.dir, "export.gpkg") }
func (g *gpkgWriter) rtree() string { return "rtree_" + g.o.Name + "_geom" }

// schema creates the tables (OGC 12-128r17 annex C).
func (g *gpkgWriter) schema() (string, error) {
	wgs84, err := g.p.wkt(4326)
	if err != nil {
		return "", err
	}
	other := ""
	if g.p.epsg != 4326 {
		def, err := g.p.wkt(g.p.epsg)
		if err != nil {
			return "", err
		}
		other = fmt.Sprintf(`INSERT INTO gpkg_spatial_ref_sys VALUES (%s, %d, 'EPSG', %[2]d, %s, NULL);`, literal(g.o.CRS.Name()), g.p.epsg, literal(def))
	}
	types := map[Type]string{Text: "TEXT", JSON: "TEXT", Integer: "INTEGER", Number: "DOUBLE", Bool: "BOOLEAN", Time: "DATETIME"}
	columns := ""
	for _, c := range g.o.Columns {
		columns += ", " + quote(c.Name) + " " + types[c.Type]
	}
	return fmt.Sprintf(`
PRAGMA application_id = 0x47504B47;
PRAGMA user_version = 10300;
CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER PRIMARY KEY, organization TEXT NOT NULL,
	organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
INSERT INTO gpkg_spatial_ref_sys VALUES
	('Undefined Cartesian SRS', -1, 'NONE', -1, 'undefined', 'undefined Cartesian coordinate reference system'),
	('Undefined geographic SRS', 0, 'NONE', 0, 'undefined', 'undefined geographic coordinate reference system'),
	('WGS 84 geodetic', 4326, 'EPSG', 4326, %s, 'longitude/latitude coordinates in decimal degrees on the WGS 84 spheroid');
%s
CREATE TABLE gpkg_contents (table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE, description TEXT DEFAULT '',
	last_change DATETIME NOT NULL DEFAULT (strftime('%%Y-%%m-%%dT%%H:%%M:%%fZ','now')), min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
	CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL,
	z TINYINT NOT NULL, m TINYINT NOT NULL, CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name), CONSTRAINT uk_gc_table_name UNIQUE (table_name),
	CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
	CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id));
CREATE TABLE gpkg_extensions (table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL, definition TEXT NOT NULL, scope TEXT NOT NULL,
	CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name));
CREATE TABLE %[3]s (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom GEOMETRY%[4]s);
INSERT INTO gpkg_contents (table_name, data_type, identifier, description, srs_id) VALUES (%[5]s, 'features', %[6]s, %[7]s, %[8]d);
INSERT INTO gpkg_geometry_columns VALUES (%[5]s, 'geom', 'GEOMETRY', %[8]d, 0, 0);
INSERT INTO gpkg_extensions VALUES (%[5]s, 'geom', 'gpkg_rtree_index', 'http://www.geopackage.org/spec120/#extension_rtree', 'write-only');
CREATE VIRTUAL TABLE %[9]s USING rtree(id, minx, maxx, miny, maxy);
`, literal(wgs84), other, quote(g.o.Name), columns, literal(g.o.Name), literal(g.o.Title), literal(string(g.o.Meta)), g.p.epsg, quote(g.rtree())), nil
}

// triggers keep the R*Tree when others change the table (annex F.3).
func (g *gpkgWriter) triggers() string {
	const put = `INSERT OR REPLACE INTO <r> VALUES (NEW.fid, ST_MinX(NEW.geom), ST_MaxX(NEW.geom), ST_MinY(NEW.geom), ST_MaxY(NEW.geom));`
	const drop = `DELETE FROM <r> WHERE id = OLD.fid;`
	var b strings.Builder
	for _, t := range [][2]string{
		{"insert", `AFTER INSERT ON <t> WHEN (NEW.geom NOT NULL AND NOT ST_IsEmpty(NEW.geom)) BEGIN ` + put},
		{"update1", `AFTER UPDATE OF geom ON <t> WHEN OLD.fid = NEW.fid AND (NEW.geom NOT NULL AND NOT ST_IsEmpty(NEW.geom)) BEGIN ` + put},
		{"update2", `AFTER UPDATE OF geom ON <t> WHEN OLD.fid = NEW.fid AND (NEW.geom IS NULL OR ST_IsEmpty(NEW.geom)) BEGIN ` + drop},
		{"update3", `AFTER UPDATE ON <t> WHEN OLD.fid != NEW.fid AND (NEW.geom NOT NULL AND NOT ST_IsEmpty(NEW.geom)) BEGIN ` + drop + ` ` + put},
		{"update4", `AFTER UPDATE ON <t> WHEN OLD.fid != NEW.fid AND (NEW.geom IS NULL OR ST_IsEmpty(NEW.geom)) BEGIN DELETE FROM <r> WHERE id IN (OLD.fid, NEW.fid);`},
		{"delete", `AFTER DELETE ON <t> WHEN OLD.geom NOT NULL BEGIN ` + drop},
	} {
		b.WriteString("CREATE TRIGGER " + quote(g.rtree()+"_"+t[0]) + " " + strings.NewReplacer("<t>", quote(g.o.Name), "<r>", quote(g.rtree())).Replace(t[1]) + " END;\n")
	}
	return b.String()
}

// Write writes a row.
func (g *gpkgWriter) Write(row *Row) error {
	if err := check(row, g.o.Columns); err != nil {
		return err
	}
	geom, err := g.p.apply(row.Geometry)
	if err != nil {
		return err
	}
	g.fid++
	g.args = append(g.args[:0], g.fid, nil)
	if geom != nil {
		b := geom.Bound()
		g.wkb.Reset()
		header := []byte{'G', 'P', 0, 0b0000_0011} // version 0, little endian, envelope of x and y
		header = binary.LittleEndian.AppendUint32(header, uint32(g.p.epsg))
		for _, v := range []float64{b.Min[0], b.Max[0], b.Min[1], b.Max[1]} {
			header = binary.LittleEndian.AppendUint64(header, math.Float64bits(v))
		}
		g.wkb.Write(header)
		if err := wkb.NewEncoder(&g.wkb).SetByteOrder(binary.LittleEndian).Encode(geom); err != nil {
			return err
		}
		g.args[1] = g.wkb.Bytes()
		if !g.any {
			g.bound, g.any = b, true
		}
		g.bound = g.bound.Union(b)
		// SQLite rounds the numbers of an R*Tree outwards by itself.
		if _, err := g.index.Exec(g.fid, b.Min[0], b.Max[0], b.Min[1], b.Max[1]); err != nil {
			return err
		}
	}
	for i, c := range g.o.Columns {
		v := row.Values[i]
		switch {
		case !v.Set:
			g.args = append(g.args, nil)
		case c.Type == Integer, c.Type == Bool:
			g.args = append(g.args, v.Int)
		case c.Type == Number:
			g.args = append(g.args, v.Number)
		case c.Type == Time:
			g.args = append(g.args, time.Unix(0, v.Int).UTC().Format(gpkgTime))
		default:
			g.args = append(g.args, v.Text)
		}
	}
	_, err = g.insert.Exec(g.args...)
	return err
}

// Close completes the file and copies it.
func (g *gpkgWriter) Close() error {
	if g.dir == "" {
		return nil
	}
	defer g.Abort()
	if g.any {
		b := g.bound
		if _, err := g.tx.Exec("UPDATE gpkg_contents SET min_x = ?, min_y = ?, max_x = ?, max_y = ?", b.Min[0], b.Min[1], b.Max[0], b.Max[1]); err != nil {
			return err
		}
	}
	if _, err := g.tx.Exec("UPDATE gpkg_contents SET last_change = ?", g.o.Now().UTC().Format(gpkgTime)); err != nil {
		return err
	}
	if _, err := g.tx.Exec(g.triggers()); err != nil {
		return err
	}
	if err := errors.Join(g.insert.Close(), g.index.Close(), g.tx.Commit()); err != nil {
		return err
	}
	g.tx = nil
	err := g.db.Close()
	g.db = nil
	if err != nil {
		return err
	}
	f, err := os.Open(g.file())
	if err != nil {
		return err
	}
	_, err = io.Copy(g.out, f)
	return errors.Join(err, f.Close())
}

// Abort removes the temporary file.
func (g *gpkgWriter) Abort() {
	if g.tx != nil {
		_ = g.tx.Rollback() // the file goes as a whole
		g.tx = nil
	}
	if g.db != nil {
		_ = g.db.Close()
		g.db = nil
	}
	if g.dir != "" {
		_ = os.RemoveAll(g.dir) // what cannot be removed is the system's to clean
		g.dir = ""
	}
}

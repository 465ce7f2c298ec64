package postgis

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// Advisory locks of this program (PostgreSQL 13.3.5).
const (
	lockImport = 0x63697479_00000001
	lockSchema = 0x63697479_00000002
)

// classTable is the name of a class's table; the class is valid or empty.
func classTable(class spatial.Class) string {
	if class == "" {
		return "other"
	}
	return string(class)
}

func classTables() []string {
	var all []string
	for _, c := range spatial.Classes() {
		all = append(all, classTable(c))
	}
	return append(all, classTable(""))
}

// columns are those of a version, common to features and history.
const columns = `class, dataset_no, position, geom, dataset, id, type, name, cim_level, attributes, parents, children, height_m, base_m, height_from,` +
	` source_epsg, height_epsg, height_datum, source_file, source_line, source_offset, low_m, high_m, valid_from, import, hash, geometries`

const columnTypes = `
	class text NOT NULL, dataset_no integer NOT NULL, position bigint NOT NULL, geom geometry(Geometry, 4326), dataset text NOT NULL, id text NOT NULL,
	type text, name text, cim_level smallint, attributes json NOT NULL, parents text[], children text[],
	height_m double precision, base_m double precision, height_from text, source_epsg integer NOT NULL, height_epsg integer, height_datum text,
	source_file text, source_line integer, source_offset bigint, low_m double precision, high_m double precision,
	valid_from timestamptz(3) NOT NULL, import bigint NOT NULL, hash bytea NOT NULL, geometries bytea NOT NULL`

// migrations lead from each schema to the next, the first from nothing.
func migrations() []string { return []string{schema1()} }

// schema1 makes the tables; SCHEMA.md.
func schema1() string {
	var b strings.Builder
	b.WriteString(`
CREATE TABLE cityhub.model (one boolean PRIMARY KEY DEFAULT true CHECK (one), last_position bigint NOT NULL, last_import bigint NOT NULL, last_at timestamptz(3));
INSERT INTO cityhub.model (last_position, last_import) VALUES (0, 0);
CREATE TABLE cityhub.dataset (no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE cityhub.import (id bigint PRIMARY KEY, dataset text NOT NULL, at timestamptz(3) NOT NULL, complete boolean NOT NULL,
	added integer NOT NULL, updated integer NOT NULL, unchanged integer NOT NULL, ended integer NOT NULL);
CREATE TABLE cityhub.part (dataset_no integer NOT NULL, parent text NOT NULL, child text NOT NULL, PRIMARY KEY (dataset_no, parent, child));
CREATE TABLE cityhub.feature (` + columnTypes + `) PARTITION BY LIST (class);
ALTER TABLE cityhub.feature ALTER COLUMN geometries SET STORAGE EXTERNAL;
CREATE INDEX feature_object ON cityhub.feature (dataset_no, id);
CREATE INDEX feature_position ON cityhub.feature (position);
CREATE INDEX feature_import ON cityhub.feature (import);
CREATE INDEX feature_geom ON cityhub.feature USING gist (geom);
CREATE TABLE cityhub.history (valid_to timestamptz(3) NOT NULL, ended_by bigint NOT NULL,` + columnTypes + `, PRIMARY KEY (position, valid_from));
ALTER TABLE cityhub.history ALTER COLUMN geometries SET STORAGE EXTERNAL;
CREATE INDEX history_object ON cityhub.history (dataset_no, id);
CREATE INDEX history_order ON cityhub.history (class, position);
CREATE INDEX history_end ON cityhub.history (ended_by);
CREATE INDEX history_geom ON cityhub.history USING gist (geom);
COMMENT ON SCHEMA cityhub IS 'city model of cityhub: spatial/store/postgis/SCHEMA.md';
`)
	for _, name := range classTables() {
		b.WriteString(`CREATE TABLE cityhub.` + name + ` PARTITION OF cityhub.feature FOR VALUES IN ('` + name + `') PARTITION BY LIST (dataset_no);` + "\n")
	}
	return b.String()
}

// prepare makes or migrates the tables over a connection of its own.
func prepare(ctx context.Context, op string, c *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // the outcome is known
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// Nodes that start at the same time make the tables one after the other.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(lockSchema)); err != nil {
			return err
		}
		if err := extension(ctx, tx, op); err != nil {
			return err
		}
		return migrate(ctx, tx, op, migrations())
	})
}

// extension sees to it that the database has PostGIS 3 or newer.
func extension(ctx context.Context, tx pgx.Tx, op string) error {
	missing := &store.Error{Code: store.Unavailable, Op: op, Field: setting, Message: "the database has no PostGIS",
		Hint: "install PostGIS on the server (Debian: postgresql-15-postgis-3) and let a superuser do CREATE EXTENSION postgis in the database that city.url names"}
	has := func() (v string, err error) {
		err = tx.QueryRow(ctx, `SELECT coalesce((SELECT extversion FROM pg_extension WHERE extname = 'postgis'), '')`).Scan(&v)
		return v, err
	}
	v, err := has()
	if err != nil {
		return err
	}
	if v == "" {
		if err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `CREATE EXTENSION postgis`)
			return err
		}); err != nil {
			var from *pgconn.PgError
			if errors.As(err, &from) {
				missing.Err = err
				return missing
			}
			return err
		}
		if v, err = has(); err != nil {
			return err
		}
	}
	if major, _, _ := strings.Cut(v, "."); len(major) == 1 && major < "3" {
		missing.Message = "the database has PostGIS " + v + ", expected 3.0 or newer"
		return missing
	}
	return nil
}

// migrate brings the tables to the schema to which steps lead.
func migrate(ctx context.Context, tx pgx.Tx, op string, steps []string) error {
	var there, ours bool
	if err := tx.QueryRow(ctx, `SELECT to_regnamespace('cityhub') IS NOT NULL, to_regclass('cityhub.migration') IS NOT NULL`).Scan(&there, &ours); err != nil {
		return err
	}
	if there && !ours {
		e := conflict(op, "the database has a schema cityhub that is not a city model's")
		e.Hint = "name another database in city.url"
		return e
	}
	if !there {
		if _, err := tx.Exec(ctx, `CREATE SCHEMA cityhub`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `CREATE TABLE cityhub.migration (schema integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())`); err != nil {
			return err
		}
	}
	var has int
	if err := tx.QueryRow(ctx, `SELECT coalesce(max(schema), 0) FROM cityhub.migration`).Scan(&has); err != nil {
		return err
	}
	if has > len(steps) {
		e := conflict(op, "the city model has schema %d, this cityhub knows %d", has, len(steps))
		e.Hint = "start the newer cityhub that wrote it, or name another database in city.url"
		return e
	}
	for i := has; i < len(steps); i++ {
		if _, err := tx.Exec(ctx, steps[i]); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO cityhub.migration (schema) VALUES ($1)`, i+1); err != nil {
			return err
		}
	}
	return nil
}

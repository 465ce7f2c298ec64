-- The entities of the registry. Ids are AUTOINCREMENT: dense, and never used
-- again, because the log and the series refer to them for ever. Times are
-- nanoseconds since 1970-01-01 UTC.

-- +goose Up
CREATE TABLE datasets (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  code        TEXT NOT NULL UNIQUE,
  title       TEXT NOT NULL,
  title_en    TEXT NOT NULL DEFAULT '',
  description TEXT NOT NULL DEFAULT '',
  owner       TEXT NOT NULL CHECK (owner <> ''),
  open        TEXT NOT NULL DEFAULT 'none' CHECK (open IN ('unconditional', 'conditional', 'none')),
  simulated   INTEGER NOT NULL DEFAULT 0,
  updated_ns  INTEGER NOT NULL
) STRICT;

CREATE TABLE locations (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  name         TEXT NOT NULL,
  description  TEXT NOT NULL DEFAULT '',
  lon          REAL NOT NULL, -- WGS 84 degrees
  lat          REAL NOT NULL,
  height       REAL,          -- metres
  height_datum TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE sensors (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  digest        BLOB NOT NULL UNIQUE, -- of the other columns
  name          TEXT NOT NULL,
  description   TEXT NOT NULL DEFAULT '',
  encoding_type TEXT NOT NULL,
  metadata      TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE observed_properties (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  name        TEXT NOT NULL,
  definition  TEXT NOT NULL DEFAULT '',
  title       TEXT NOT NULL,
  title_en    TEXT NOT NULL DEFAULT '',
  description TEXT NOT NULL DEFAULT '',
  UNIQUE (name, definition)
) STRICT;

CREATE TABLE units (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  name   TEXT NOT NULL,
  symbol TEXT NOT NULL,
  code   TEXT NOT NULL, -- UCUM
  UNIQUE (code, name, symbol)
) STRICT;

CREATE TABLE things (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  code        TEXT NOT NULL UNIQUE,
  name        TEXT NOT NULL,
  name_en     TEXT NOT NULL DEFAULT '',
  description TEXT NOT NULL DEFAULT '',
  domain      TEXT NOT NULL,
  district    TEXT NOT NULL DEFAULT '',
  state       TEXT NOT NULL,
  simulated   INTEGER NOT NULL DEFAULT 0,
  location_id INTEGER UNIQUE REFERENCES locations (id),
  dataset_id  INTEGER NOT NULL REFERENCES datasets (id),
  sensor_id   INTEGER NOT NULL REFERENCES sensors (id),
  legal_basis TEXT NOT NULL DEFAULT '',
  purpose     TEXT NOT NULL DEFAULT '',
  extra       TEXT NOT NULL DEFAULT '', -- JSON object; '' is none
  digest      BLOB,                     -- of the manifest entry; NULL: changed since by other means
  updated_ns  INTEGER NOT NULL
) STRICT;
CREATE INDEX things_sensor ON things (sensor_id);

CREATE TABLE datastreams (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  thing_id    INTEGER NOT NULL REFERENCES things (id),
  property    TEXT NOT NULL, -- the name of the observed property
  property_id INTEGER NOT NULL REFERENCES observed_properties (id),
  sensor_id   INTEGER NOT NULL REFERENCES sensors (id),
  dataset_id  INTEGER NOT NULL REFERENCES datasets (id),
  unit_id     INTEGER NOT NULL REFERENCES units (id),
  result      TEXT NOT NULL,
  name        TEXT NOT NULL,
  retired     INTEGER NOT NULL DEFAULT 0, -- no longer a property of its terminal; the history stays
  UNIQUE (thing_id, property)
) STRICT;
CREATE INDEX datastreams_dataset ON datastreams (dataset_id, thing_id);
CREATE INDEX datastreams_property ON datastreams (property_id, dataset_id);
CREATE INDEX datastreams_sensor ON datastreams (sensor_id, dataset_id);

CREATE TABLE credentials (
  thing_id   INTEGER PRIMARY KEY REFERENCES things (id),
  username   TEXT NOT NULL UNIQUE,
  salt       BLOB NOT NULL,
  iterations INTEGER NOT NULL CHECK (iterations > 0),
  hash       BLOB NOT NULL, -- PBKDF2-HMAC-SHA256, 32 bytes
  updated_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE tokens (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  name       TEXT NOT NULL,
  role       TEXT NOT NULL,
  hash       BLOB NOT NULL UNIQUE, -- SHA-256 of the secret
  created_ns INTEGER NOT NULL,
  expires_ns INTEGER NOT NULL DEFAULT 0, -- 0: never
  revoked_ns INTEGER NOT NULL DEFAULT 0  -- 0: in force
) STRICT;

-- +goose Down
DROP TABLE tokens;
DROP TABLE credentials;
DROP TABLE datastreams;
DROP TABLE things;
DROP TABLE units;
DROP TABLE observed_properties;
DROP TABLE sensors;
DROP TABLE locations;
DROP TABLE datasets;

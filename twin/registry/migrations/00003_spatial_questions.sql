-- Saved spatial questions. Times are nanoseconds since 1970-01-01 UTC.

-- +goose Up
CREATE TABLE spatial_questions (
  id          TEXT PRIMARY KEY CHECK (id <> ''),
  name        TEXT NOT NULL CHECK (name <> ''),
  name_en     TEXT NOT NULL DEFAULT '',
  description TEXT NOT NULL DEFAULT '',
  owner       TEXT NOT NULL CHECK (owner <> ''),
  visibility  TEXT NOT NULL CHECK (visibility IN ('private', 'shared', 'public')),
  document    TEXT NOT NULL, -- JSON
  created_ns  INTEGER NOT NULL,
  updated_ns  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE spatial_questions;

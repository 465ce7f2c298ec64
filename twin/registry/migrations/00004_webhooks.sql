-- Webhooks: what is delivered to whom, and how far that has come. Times are
-- nanoseconds since 1970-01-01 UTC, 0 for never. The secret is kept as it is,
-- for deliveries are signed with it; the file is readable for its owner only.

-- +goose Up
CREATE TABLE webhooks (
  id            TEXT PRIMARY KEY CHECK (id <> ''),
  owner         TEXT NOT NULL,                   -- name of the token of its creator
  token_id      INTEGER NOT NULL,                -- that token: the webhook ends with it; 0: its creator had none
  role          TEXT NOT NULL CHECK (role <> ''),
  document      TEXT NOT NULL,                   -- JSON: URL, filter, limits
  secret        TEXT NOT NULL CHECK (secret <> ''),
  old_secret    TEXT NOT NULL DEFAULT '',
  old_until_ns  INTEGER NOT NULL DEFAULT 0,      -- until then deliveries are signed with both
  created_ns    INTEGER NOT NULL,
  updated_ns    INTEGER NOT NULL,
  paused_ns     INTEGER NOT NULL DEFAULT 0,
  paused_why    TEXT NOT NULL DEFAULT '',
  epoch         TEXT NOT NULL DEFAULT '',        -- position of the last confirmed delivery
  log_offset    INTEGER NOT NULL DEFAULT 0,
  sequence      INTEGER NOT NULL DEFAULT 0,      -- number of the last delivery begun
  pending_end   INTEGER NOT NULL DEFAULT 0,      -- offset that delivery ends with; 0: it is confirmed
  gap           TEXT NOT NULL DEFAULT '',        -- what the next delivery has to say was lost
  delivered_ns  INTEGER NOT NULL DEFAULT 0,
  failing_ns    INTEGER NOT NULL DEFAULT 0       -- since when deliveries fail
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE webhooks;

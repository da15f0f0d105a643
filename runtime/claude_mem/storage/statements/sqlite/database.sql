-- name: database.schema_table
SELECT count(*) > 0 AS present FROM sqlite_master WHERE type = 'table' AND name = 'server_beta_schema_migrations';

-- name: database.optimize
-- SQLite decides by itself which tables have grown enough.
PRAGMA optimize;

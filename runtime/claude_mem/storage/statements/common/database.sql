-- name: database.ping
-- Whether the database answers at all.
SELECT 1 AS one;

-- name: database.schema_version
-- Only asked once the table is there; see database.schema_table.
SELECT max(version) AS version FROM server_beta_schema_migrations;

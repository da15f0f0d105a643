-- name: database.notify
-- Delivered to listeners when the transaction commits.
SELECT pg_notify(:channel, :payload);

-- name: database.schema_table
-- Reading a missing table would abort a transaction, so its presence is asked first.
SELECT to_regclass('server_beta_schema_migrations') IS NOT NULL AS present;

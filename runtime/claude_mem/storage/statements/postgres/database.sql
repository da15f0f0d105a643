-- name: database.notify
-- Delivered to listeners when the transaction commits.
SELECT pg_notify(:channel, :payload);

-- name: database.schema_table
-- Reading a missing table would abort a transaction, so its presence is asked first.
SELECT to_regclass('server_beta_schema_migrations') IS NOT NULL AS present;

-- name: database.statistics_turn
-- One process at a time, for as long as the transaction lasts. The number is the ASCII of "cmstats".
SELECT pg_try_advisory_xact_lock(28014937437758579) AS mine;

-- name: database.grown_tables
-- On a table that the planner takes for empty, the checks of foreign keys scan a whole project for each row. Autovacuum
-- mends that within a minute, which is too late for the first load on a new database.
SELECT c.relname AS name FROM pg_class AS c JOIN pg_stat_user_tables AS s ON s.relid = c.oid
WHERE c.relname IN ('agent_events', 'audit_log', 'observation_generation_job_events', 'observation_generation_jobs',
                    'observation_sources', 'observations', 'server_sessions', 'usage_events')
  AND pg_table_is_visible(c.oid) AND s.n_mod_since_analyze > 200 + 4 * GREATEST(c.reltuples, 0)
ORDER BY c.relname;

-- name: database.analyze_agent_events
ANALYZE agent_events;

-- name: database.analyze_audit_log
ANALYZE audit_log;

-- name: database.analyze_observation_generation_job_events
ANALYZE observation_generation_job_events;

-- name: database.analyze_observation_generation_jobs
ANALYZE observation_generation_jobs;

-- name: database.analyze_observation_sources
ANALYZE observation_sources;

-- name: database.analyze_observations
ANALYZE observations;

-- name: database.analyze_server_sessions
ANALYZE server_sessions;

-- name: database.analyze_usage_events
ANALYZE usage_events;

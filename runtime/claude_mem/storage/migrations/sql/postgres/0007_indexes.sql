-- description: indexes for the relay, for lists and for deletes
-- transaction: none
--
-- Built concurrently, so that nobody waits for them. A build that was cut short leaves an invalid index; the
-- runner drops it and builds again.

-- name: idx_observation_jobs_due
-- The relay's question: what is due, oldest first. Holds only what is queued, so it stays small.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_observation_jobs_due
    ON observation_generation_jobs (coalesce(next_attempt_at, created_at), id) WHERE status = 'queued';

-- name: idx_observation_jobs_leased
-- The reaper's question: whose lease ran out. Holds only what is being processed.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_observation_jobs_leased
    ON observation_generation_jobs (lease_expires_at) WHERE status = 'processing';

-- name: idx_observation_jobs_team_created
-- A team's jobs page by page, newest first.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_observation_jobs_team_created
    ON observation_generation_jobs (team_id, created_at DESC, id DESC);

-- name: idx_audit_log_team_created
-- A team's audit trail page by page, newest first.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_audit_log_team_created
    ON audit_log (team_id, created_at DESC, id DESC);

-- name: idx_server_sessions_team_project_started
-- A project's sessions page by page, and their purge; claude-mem 13 has only partial indexes for these.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_server_sessions_team_project_started
    ON server_sessions (team_id, project_id, started_at DESC, id DESC);

-- name: idx_agent_events_session
-- Deleting a session looks here for its events; without it each one reads the whole table.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_agent_events_session
    ON agent_events (server_session_id) WHERE server_session_id IS NOT NULL;

-- name: idx_observation_jobs_session
-- The same for its jobs.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_observation_jobs_session
    ON observation_generation_jobs (server_session_id) WHERE server_session_id IS NOT NULL;

-- name: idx_observations_session
-- The same for its memories.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_observations_session
    ON observations (server_session_id) WHERE server_session_id IS NOT NULL;

-- name: idx_observations_job
-- Deleting a job looks here for the memories it made.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_observations_job
    ON observations (created_by_job_id) WHERE created_by_job_id IS NOT NULL;

-- name: idx_observation_sources_job
-- And here for their sources.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_observation_sources_job
    ON observation_sources (generation_job_id) WHERE generation_job_id IS NOT NULL;

-- description: answers that are kept for requests sent again, and failures by time

-- name: idempotent_requests
-- One row for each Idempotency-Key of an API key and route. While `status` is null somebody is at it, until `locked_until` at most.
-- `answer` is encrypted with what only the client knows, so a raw API key or a memory in it cannot be read here.
CREATE TABLE idempotent_requests (
    id           TEXT PRIMARY KEY,
    team_id      TEXT REFERENCES teams (id) ON DELETE CASCADE,
    request_hash TEXT NOT NULL,
    owner        TEXT NOT NULL,
    locked_until INTEGER NOT NULL,
    status       INTEGER,
    answer       BLOB,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT;

-- name: idx_idempotent_requests_expires
-- What is over is deleted every minute.
CREATE INDEX idx_idempotent_requests_expires ON idempotent_requests (expires_at);

-- name: idx_observation_job_events_setbacks
-- Live streams ask what failed lately. The audit log tells of everything else, so this index stays small.
CREATE INDEX idx_observation_job_events_setbacks
    ON observation_generation_job_events (created_at) WHERE event_type IN ('failed', 'retry_scheduled');

-- description: figures of workers, and the traces that jobs belong to

-- name: worker_figures
-- What each worker last said of itself, for Prometheus, which asks the HTTP service alone. A row is replaced every few seconds.
CREATE TABLE worker_figures (
    worker      TEXT PRIMARY KEY,
    reported_at INTEGER NOT NULL,
    figures     TEXT NOT NULL
) STRICT;

-- name: observation_generation_jobs_traceparent
-- The W3C trace context of the request that asked for the job; null where nothing is traced.
ALTER TABLE observation_generation_jobs ADD COLUMN traceparent TEXT;

-- description: an index for jobs that wait without an attempt left

-- name: idx_observation_jobs_exhausted
-- The reaper's other question, every few seconds: which would wait for ever. There are none but by accident, so the index is empty,
-- and a long queue is not read to find that out.
CREATE INDEX idx_observation_jobs_exhausted
    ON observation_generation_jobs (id) WHERE status = 'queued' AND attempts >= max_attempts;

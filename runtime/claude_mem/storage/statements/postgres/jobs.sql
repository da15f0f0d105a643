-- name: jobs.insert
-- Rows come sorted by key, so that two groups never wait for each other.
INSERT INTO observation_generation_jobs (id, project_id, team_id, agent_event_id, source_type, source_id, server_session_id,
                                         job_type, status, idempotency_key, bullmq_job_id, max_attempts, next_attempt_at, payload,
                                         traceparent, created_at, updated_at)
SELECT id, project_id, team_id, agent_event_id, source_type, source_id, server_session_id, job_type, 'queued',
       idempotency_key, bullmq_job_id, max_attempts, next_attempt_at, payload, traceparent, created_at, created_at
FROM unnest(:id::text[], :project_id::text[], :team_id::text[], :agent_event_id::text[], :source_type::text[],
            :source_id::text[], :server_session_id::text[], :job_type::text[], :idempotency_key::text[],
            :bullmq_job_id::text[], :max_attempts::integer[], :next_attempt_at::timestamptz[], :payload::jsonb[],
            :traceparent::text[], :created_at::timestamptz[])
  AS new (id, project_id, team_id, agent_event_id, source_type, source_id, server_session_id, job_type, idempotency_key,
          bullmq_job_id, max_attempts, next_attempt_at, payload, traceparent, created_at)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: jobs.insert_fresh
-- For sources stored in the same transaction, which nobody else can have made a job for: no conflict to look for.
INSERT INTO observation_generation_jobs (id, project_id, team_id, agent_event_id, source_type, source_id, server_session_id,
                                         job_type, status, idempotency_key, bullmq_job_id, max_attempts, next_attempt_at, payload,
                                         traceparent, created_at, updated_at)
SELECT id, project_id, team_id, agent_event_id, source_type, source_id, server_session_id, job_type, 'queued',
       idempotency_key, bullmq_job_id, max_attempts, next_attempt_at, payload, traceparent, created_at, created_at
FROM unnest(:id::text[], :project_id::text[], :team_id::text[], :agent_event_id::text[], :source_type::text[],
            :source_id::text[], :server_session_id::text[], :job_type::text[], :idempotency_key::text[],
            :bullmq_job_id::text[], :max_attempts::integer[], :next_attempt_at::timestamptz[], :payload::jsonb[],
            :traceparent::text[], :created_at::timestamptz[])
  AS new (id, project_id, team_id, agent_event_id, source_type, source_id, server_session_id, job_type, idempotency_key,
          bullmq_job_id, max_attempts, next_attempt_at, payload, traceparent, created_at);

-- name: jobs.by_keys
SELECT * FROM observation_generation_jobs WHERE idempotency_key = ANY(:keys::text[]);

-- name: jobs.by_ids
SELECT * FROM observation_generation_jobs WHERE id = ANY(:ids::text[]);

-- name: jobs.append_events
INSERT INTO observation_generation_job_events (id, generation_job_id, event_type, status_after, attempt, details, created_at)
SELECT * FROM unnest(:id::text[], :generation_job_id::text[], :event_type::text[], :status_after::text[],
                     :attempt::integer[], :details::jsonb[], :created_at::timestamptz[]);

-- name: jobs.release_expired
-- A holder that went silent loses its job; without a lease, a lock taken long ago counts as silence. What somebody holds
-- just now is not silent, so sweepers never wait for each other or for the holder.
UPDATE observation_generation_jobs
SET status = CASE WHEN attempts < max_attempts THEN 'queued' ELSE 'failed' END,
    failed_at = CASE WHEN attempts < max_attempts THEN NULL ELSE :now::timestamptz END,
    last_error = :last_error, next_attempt_at = NULL, locked_at = NULL, locked_by = NULL, lease_expires_at = NULL, updated_at = :now
WHERE id IN (
  SELECT id FROM observation_generation_jobs
  WHERE status = 'processing'
    AND ((lease_expires_at IS NOT NULL AND lease_expires_at < :now)
         OR (lease_expires_at IS NULL AND (locked_at IS NULL OR locked_at < :stale_before)))
  FOR UPDATE SKIP LOCKED)
RETURNING *;

-- name: jobs.heartbeat
-- Only the holder of the current attempt may extend its lease. Rows are locked in the order in which jobs are ended.
UPDATE observation_generation_jobs SET lease_expires_at = :lease_expires_at, updated_at = :now
WHERE id IN (
  SELECT j.id FROM observation_generation_jobs AS j
  JOIN unnest(:id::text[], :attempt::integer[], :worker::text[]) AS claim (id, attempt, worker)
    ON j.id = claim.id AND j.attempts = claim.attempt AND j.locked_by = claim.worker
  WHERE j.status = 'processing' ORDER BY j.id FOR NO KEY UPDATE OF j)
RETURNING id;

-- name: jobs.lock_failed
-- Those that failed first, for a redrive in the same transaction. What another redrive, a retry or a cancellation has in hand is
-- left to it, so that nobody waits and no job is redriven twice.
SELECT * FROM observation_generation_jobs
WHERE status = 'failed'
  AND (CAST(:team_id AS text) IS NULL OR team_id = :team_id)
  AND (CAST(:project_id AS text) IS NULL OR project_id = :project_id)
  AND (CAST(:lane AS text) IS NULL OR (source_type = 'session_summary') = (:lane = 'summary'))
  AND (CAST(:classification AS text) IS NULL OR last_error ->> 'classification' = :classification)
  AND (CAST(:since AS timestamptz) IS NULL OR COALESCE(failed_at, updated_at) >= :since)
  AND COALESCE(failed_at, updated_at) < :until
ORDER BY COALESCE(failed_at, updated_at), id LIMIT :limit
FOR UPDATE SKIP LOCKED;

-- name: jobs.held
-- A team's queued jobs by what they wait for. At most so many of each project are read, in the order of an index that finds them
-- beside any number of others; one that knows the state alone would read what other teams have queued.
SELECT lane, state, CASE WHEN state = 'delayed' THEN classification END AS classification, count(*) AS count, min(due_at) AS first_at
FROM projects AS p
CROSS JOIN LATERAL (
  SELECT CASE WHEN source_type = 'session_summary' THEN 'summary' ELSE 'event' END AS lane,
         CASE WHEN coalesce(next_attempt_at, created_at) > :now THEN 'delayed' ELSE 'due' END AS state,
         coalesce(next_attempt_at, created_at) AS due_at,
         coalesce(last_error ->> 'classification', CASE WHEN attempts > 0 THEN 'unknown' END) AS classification
  FROM observation_generation_jobs AS j
  WHERE j.team_id = :team_id AND j.project_id = p.id AND j.status = 'queued'
  ORDER BY j.created_at LIMIT :limit) AS queued
WHERE p.team_id = :team_id AND (:project_id::text IS NULL OR p.id = :project_id)
GROUP BY 1, 2, 3;

-- name: jobs.retry
-- An operator's retry of one job or many, guarded by the state that it was decided on; at least one attempt is left.
UPDATE observation_generation_jobs AS j
SET status = 'queued', attempts = CASE WHEN attempts < max_attempts THEN attempts ELSE max_attempts - 1 END,
    next_attempt_at = NULL, last_error = NULL, completed_at = NULL, failed_at = NULL, cancelled_at = NULL,
    locked_at = NULL, locked_by = NULL, lease_expires_at = NULL, payload = again.payload, updated_at = :now
FROM unnest(:id::text[], :payload::jsonb[]) AS again (id, payload)
WHERE j.id = again.id AND j.status IN ('failed', 'cancelled')
RETURNING j.*;

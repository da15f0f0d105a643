-- name: jobs.insert
INSERT INTO observation_generation_jobs (id, project_id, team_id, agent_event_id, source_type, source_id, server_session_id,
                                         job_type, status, idempotency_key, bullmq_job_id, max_attempts, next_attempt_at, payload,
                                         traceparent, created_at, updated_at)
SELECT value ->> 'id', value ->> 'project_id', value ->> 'team_id', value ->> 'agent_event_id', value ->> 'source_type',
       value ->> 'source_id', value ->> 'server_session_id', value ->> 'job_type', 'queued', value ->> 'idempotency_key',
       value ->> 'bullmq_job_id', value ->> 'max_attempts', value ->> 'next_attempt_at', value ->> 'payload',
       value ->> 'traceparent', value ->> 'created_at', value ->> 'created_at'
FROM json_each(:rows) WHERE true
ON CONFLICT DO NOTHING
RETURNING id;

-- name: jobs.insert_fresh
-- For sources stored in the same transaction, which nobody else can have made a job for: no conflict to look for.
INSERT INTO observation_generation_jobs (id, project_id, team_id, agent_event_id, source_type, source_id, server_session_id,
                                         job_type, status, idempotency_key, bullmq_job_id, max_attempts, next_attempt_at, payload,
                                         traceparent, created_at, updated_at)
SELECT value ->> 'id', value ->> 'project_id', value ->> 'team_id', value ->> 'agent_event_id', value ->> 'source_type',
       value ->> 'source_id', value ->> 'server_session_id', value ->> 'job_type', 'queued', value ->> 'idempotency_key',
       value ->> 'bullmq_job_id', value ->> 'max_attempts', value ->> 'next_attempt_at', value ->> 'payload',
       value ->> 'traceparent', value ->> 'created_at', value ->> 'created_at'
FROM json_each(:rows);

-- name: jobs.by_keys
SELECT * FROM observation_generation_jobs WHERE idempotency_key IN (SELECT value FROM json_each(:keys));

-- name: jobs.by_ids
SELECT * FROM observation_generation_jobs WHERE id IN (SELECT value FROM json_each(:ids));

-- name: jobs.append_events
INSERT INTO observation_generation_job_events (id, generation_job_id, event_type, status_after, attempt, details, created_at)
SELECT value ->> 'id', value ->> 'generation_job_id', value ->> 'event_type', value ->> 'status_after', value ->> 'attempt',
       value ->> 'details', value ->> 'created_at'
FROM json_each(:rows);

-- name: jobs.release_expired
-- A holder that went silent loses its job; without a lease, a lock taken long ago counts as silence.
UPDATE observation_generation_jobs
SET status = CASE WHEN attempts < max_attempts THEN 'queued' ELSE 'failed' END,
    failed_at = CASE WHEN attempts < max_attempts THEN NULL ELSE CAST(:now AS timestamptz) END,
    last_error = :last_error, next_attempt_at = NULL, locked_at = NULL, locked_by = NULL, lease_expires_at = NULL, updated_at = :now
WHERE status = 'processing'
  AND ((lease_expires_at IS NOT NULL AND lease_expires_at < :now)
       OR (lease_expires_at IS NULL AND (locked_at IS NULL OR locked_at < :stale_before)))
RETURNING *;

-- name: jobs.heartbeat
-- Only the holder of the current attempt may extend its lease.
UPDATE observation_generation_jobs SET lease_expires_at = :lease_expires_at, updated_at = :now
WHERE id IN (
  SELECT j.id FROM observation_generation_jobs AS j
  JOIN json_each(:rows) AS claim
    ON j.id = claim.value ->> 'id' AND j.attempts = claim.value ->> 'attempt' AND j.locked_by = claim.value ->> 'worker'
  WHERE j.status = 'processing')
RETURNING id;

-- name: jobs.lock_failed
-- Those that failed first, for a redrive in the same transaction, which nobody writes beside.
SELECT * FROM observation_generation_jobs
WHERE status = 'failed'
  AND (CAST(:team_id AS text) IS NULL OR team_id = :team_id)
  AND (CAST(:project_id AS text) IS NULL OR project_id = :project_id)
  AND (CAST(:lane AS text) IS NULL OR (source_type = 'session_summary') = (:lane = 'summary'))
  AND (CAST(:classification AS text) IS NULL OR last_error ->> 'classification' = :classification)
  AND (CAST(:since AS timestamptz) IS NULL OR COALESCE(failed_at, updated_at) >= :since)
  AND COALESCE(failed_at, updated_at) < :until
ORDER BY COALESCE(failed_at, updated_at), id LIMIT :limit;

-- name: jobs.retry
-- An operator's retry of one job or many, guarded by the state that it was decided on; at least one attempt is left.
UPDATE observation_generation_jobs
SET status = 'queued', attempts = CASE WHEN attempts < max_attempts THEN attempts ELSE max_attempts - 1 END,
    next_attempt_at = NULL, last_error = NULL, completed_at = NULL, failed_at = NULL, cancelled_at = NULL,
    locked_at = NULL, locked_by = NULL, lease_expires_at = NULL, payload = again.payload, updated_at = :now
FROM (SELECT value ->> 'id' AS id, value ->> 'payload' AS payload FROM json_each(:rows)) AS again
WHERE observation_generation_jobs.id = again.id AND status IN ('failed', 'cancelled')
RETURNING *;

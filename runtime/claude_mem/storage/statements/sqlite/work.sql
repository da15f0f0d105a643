-- name: work.claim
-- Each worker takes what no other is taking; the attempt counts from here, also when the process then dies. A summary waits for
-- the events of its session, for a while: it is made from their observations.
UPDATE observation_generation_jobs
SET status = 'processing', attempts = attempts + 1, locked_at = :now, locked_by = :worker,
    lease_expires_at = :lease_expires_at, next_attempt_at = NULL, updated_at = :now
WHERE id IN (
  SELECT j.id FROM observation_generation_jobs AS j
  WHERE j.status = 'queued' AND j.attempts < j.max_attempts AND COALESCE(j.next_attempt_at, j.created_at) <= :now
    AND (j.source_type <> 'session_summary' OR j.created_at < :impatient_before
         OR NOT EXISTS (SELECT 1 FROM observation_generation_jobs AS e
                        WHERE e.server_session_id = j.server_session_id AND e.source_type = 'agent_event'
                          AND e.status IN ('queued', 'processing')))
  ORDER BY COALESCE(j.next_attempt_at, j.created_at), j.id LIMIT :limit)
RETURNING *;

-- name: work.claim_mates
-- Events of a session that share its next call, due or not; those that failed before keep their own time.
UPDATE observation_generation_jobs
SET status = 'processing', attempts = attempts + 1, locked_at = :now, locked_by = :worker,
    lease_expires_at = :lease_expires_at, next_attempt_at = NULL, updated_at = :now
WHERE id IN (
  SELECT id FROM (
    SELECT j.id, row_number() OVER (PARTITION BY j.server_session_id ORDER BY j.created_at, j.id) AS place
    FROM observation_generation_jobs AS j
    WHERE j.server_session_id IN (SELECT value FROM json_each(:sessions)) AND j.source_type = 'agent_event'
      AND j.status = 'queued' AND j.attempts = 0 AND j.max_attempts > 0)
  WHERE place <= :each)
RETURNING *;

-- name: work.expedite_session
-- The end of a session ends the waiting of its events.
UPDATE observation_generation_jobs SET next_attempt_at = NULL
WHERE server_session_id = :server_session_id AND source_type = 'agent_event' AND status = 'queued' AND attempts = 0
  AND next_attempt_at IS NOT NULL;

-- name: work.expedite
-- Somebody waits for these.
UPDATE observation_generation_jobs SET next_attempt_at = NULL
WHERE id IN (SELECT value FROM json_each(:ids)) AND status = 'queued' AND attempts = 0 AND next_attempt_at IS NOT NULL;

-- name: work.hold
-- Locks the rows whose claims are still current, in a fixed order, for the rest of the transaction.
SELECT j.id FROM observation_generation_jobs AS j JOIN json_each(:rows) AS claim
  ON j.id = claim.value ->> 'id' AND j.attempts = claim.value ->> 'attempt' AND j.locked_by = claim.value ->> 'worker'
WHERE j.status = 'processing' ORDER BY j.id;

-- name: work.complete
UPDATE observation_generation_jobs
SET status = 'completed', completed_at = :now, failed_at = NULL, cancelled_at = NULL, last_error = NULL, locked_at = NULL,
    locked_by = NULL, lease_expires_at = NULL, next_attempt_at = NULL, updated_at = :now
WHERE id IN (SELECT value FROM json_each(:ids));

-- name: work.fail
UPDATE observation_generation_jobs AS j
SET status = failed.status, failed_at = CASE WHEN failed.status = 'failed' THEN :now END,
    completed_at = NULL, cancelled_at = NULL, attempts = j.attempts - failed.refund, last_error = failed.last_error,
    next_attempt_at = failed.next_attempt_at, locked_at = NULL, locked_by = NULL, lease_expires_at = NULL, updated_at = :now
FROM (SELECT value ->> 'id' AS id, value ->> 'status' AS status, value ->> 'last_error' AS last_error,
             value ->> 'next_attempt_at' AS next_attempt_at, value ->> 'refund' AS refund FROM json_each(:rows)) AS failed
WHERE j.id = failed.id;

-- name: work.insert_observations
-- A repeated generation of the same content finds its rows by their keys and adds nothing.
INSERT INTO observations (id, project_id, team_id, server_session_id, kind, content, generation_key, metadata,
                          created_by_job_id, created_at, updated_at)
SELECT value ->> 'id', value ->> 'project_id', value ->> 'team_id', value ->> 'server_session_id', value ->> 'kind',
       value ->> 'content', value ->> 'generation_key', value ->> 'metadata', value ->> 'created_by_job_id',
       value ->> 'created_at', value ->> 'created_at'
FROM json_each(:rows) WHERE true
ON CONFLICT DO NOTHING
RETURNING id;

-- name: work.observations_by_key
SELECT id, generation_key FROM observations WHERE generation_key IN (SELECT value FROM json_each(:keys));

-- name: work.insert_sources
INSERT INTO observation_sources (id, observation_id, agent_event_id, generation_job_id, source_type, source_id, metadata, created_at)
SELECT value ->> 'id', value ->> 'observation_id', value ->> 'agent_event_id', value ->> 'generation_job_id',
       value ->> 'source_type', value ->> 'source_id', value ->> 'metadata', value ->> 'created_at'
FROM json_each(:rows) WHERE true
ON CONFLICT DO NOTHING;

-- name: work.keep_replies
-- Written before anything else happens to an answer that was paid for; the latest of a job counts. Of a job that others have
-- ended meanwhile nothing is kept.
INSERT INTO generation_replies (job_id, call_id, document, created_at)
SELECT value ->> 'job_id', value ->> 'call_id', value ->> 'document', value ->> 'created_at'
FROM json_each(:rows)
WHERE EXISTS (SELECT 1 FROM observation_generation_jobs AS j
              WHERE j.id = value ->> 'job_id' AND j.status IN ('queued', 'processing'))
ON CONFLICT (job_id) DO UPDATE SET call_id = excluded.call_id, document = excluded.document, created_at = excluded.created_at;

-- name: work.kept_replies
SELECT job_id, call_id, document FROM generation_replies WHERE job_id IN (SELECT value FROM json_each(:ids));

-- name: work.drop_replies
DELETE FROM generation_replies WHERE job_id IN (SELECT value FROM json_each(:ids));

-- name: work.keys
-- Who asked, for a whole group of jobs at once, with the keys that took their places.
WITH RECURSIVE lineage (id) AS (
  SELECT value FROM json_each(:ids)
  UNION
  SELECT k.replaced_by FROM lineage JOIN api_keys AS k ON k.id = lineage.id WHERE k.replaced_by IS NOT NULL)
SELECT k.* FROM lineage JOIN api_keys AS k ON k.id = lineage.id;

-- name: work.events
-- As on PostgreSQL.
WITH RECURSIVE come_to (place, total) AS (
    SELECT 0, 0
    UNION ALL
    SELECT place + 1, total + coalesce((
        SELECT length(CAST(payload AS BLOB)) + length(CAST(metadata AS BLOB)) FROM agent_events
        WHERE id = json_extract(:ids, '$[' || place || ']')
    ), 0)
    FROM come_to WHERE total < :most AND place < json_array_length(:ids)
)
SELECT json_extract(:ids, '$[' || (place - 1) || ']') AS wanted, e.*
FROM come_to LEFT JOIN agent_events AS e ON e.id = wanted
WHERE place > 0;

-- name: work.origins
-- Which events observations were made from.
SELECT observation_id, agent_event_id FROM observation_sources WHERE observation_id IN (SELECT value FROM json_each(:ids)) AND agent_event_id IS NOT NULL;

-- name: work.projects
SELECT * FROM projects WHERE id IN (SELECT value FROM json_each(:ids));

-- name: work.replace_summaries
-- A newer summary of a session takes the place of the one before, unless somebody has changed that by hand.
DELETE FROM observations WHERE created_by_job_id IN (SELECT value FROM json_each(:job_ids)) AND kind = 'summary' AND id NOT IN (SELECT value FROM json_each(:kept)) AND updated_at = created_at;

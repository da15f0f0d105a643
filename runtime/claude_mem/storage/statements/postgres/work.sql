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
         OR NOT EXISTS (SELECT FROM observation_generation_jobs AS e
                        WHERE e.server_session_id = j.server_session_id AND e.source_type = 'agent_event'
                          AND e.status IN ('queued', 'processing')))
  ORDER BY COALESCE(j.next_attempt_at, j.created_at), j.id LIMIT :limit FOR UPDATE OF j SKIP LOCKED)
RETURNING *;

-- name: work.claim_mates
-- Events of a session that share its next call, due or not; those that failed before keep their own time.
UPDATE observation_generation_jobs
SET status = 'processing', attempts = attempts + 1, locked_at = :now, locked_by = :worker,
    lease_expires_at = :lease_expires_at, next_attempt_at = NULL, updated_at = :now
WHERE id IN (
  SELECT mate.id FROM unnest(:sessions::text[]) AS wanted (session_id)
  CROSS JOIN LATERAL (
    SELECT j.id FROM observation_generation_jobs AS j
    WHERE j.server_session_id = wanted.session_id AND j.source_type = 'agent_event' AND j.status = 'queued' AND j.attempts = 0
      AND j.max_attempts > 0
    ORDER BY j.created_at, j.id LIMIT :each FOR UPDATE OF j SKIP LOCKED) AS mate)
RETURNING *;

-- name: work.expedite_session
-- The end of a session ends the waiting of its events.
UPDATE observation_generation_jobs SET next_attempt_at = NULL
WHERE server_session_id = :server_session_id AND source_type = 'agent_event' AND status = 'queued' AND attempts = 0
  AND next_attempt_at IS NOT NULL;

-- name: work.expedite
-- Somebody waits for these.
UPDATE observation_generation_jobs SET next_attempt_at = NULL
WHERE id = ANY(:ids::text[]) AND status = 'queued' AND attempts = 0 AND next_attempt_at IS NOT NULL;

-- name: work.hold
-- Locks the rows whose claims are still current, in a fixed order, for the rest of the transaction.
SELECT j.id FROM observation_generation_jobs AS j
JOIN unnest(:id::text[], :attempt::integer[], :worker::text[]) AS claim (id, attempt, worker)
  ON j.id = claim.id AND j.attempts = claim.attempt AND j.locked_by = claim.worker
WHERE j.status = 'processing' ORDER BY j.id FOR UPDATE OF j;

-- name: work.complete
UPDATE observation_generation_jobs
SET status = 'completed', completed_at = :now, failed_at = NULL, cancelled_at = NULL, last_error = NULL, locked_at = NULL,
    locked_by = NULL, lease_expires_at = NULL, next_attempt_at = NULL, updated_at = :now
WHERE id = ANY(:ids::text[]);

-- name: work.fail
UPDATE observation_generation_jobs AS j
SET status = failed.status, failed_at = CASE WHEN failed.status = 'failed' THEN CAST(:now AS timestamptz) END,
    completed_at = NULL, cancelled_at = NULL, attempts = j.attempts - failed.refund, last_error = failed.last_error,
    next_attempt_at = failed.next_attempt_at, locked_at = NULL, locked_by = NULL, lease_expires_at = NULL, updated_at = :now
FROM unnest(:id::text[], :status::text[], :last_error::jsonb[], :next_attempt_at::timestamptz[], :refund::integer[])
  AS failed (id, status, last_error, next_attempt_at, refund)
WHERE j.id = failed.id;

-- name: work.insert_observations
-- A repeated generation of the same content finds its rows by their keys and adds nothing.
INSERT INTO observations (id, project_id, team_id, server_session_id, kind, content, generation_key, metadata,
                          created_by_job_id, created_at, updated_at)
SELECT id, project_id, team_id, server_session_id, kind, content, generation_key, metadata, created_by_job_id, created_at, created_at
FROM unnest(:id::text[], :project_id::text[], :team_id::text[], :server_session_id::text[], :kind::text[], :content::text[],
            :generation_key::text[], :metadata::jsonb[], :created_by_job_id::text[], :created_at::timestamptz[])
  AS new (id, project_id, team_id, server_session_id, kind, content, generation_key, metadata, created_by_job_id, created_at)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: work.observations_by_key
SELECT id, generation_key FROM observations WHERE generation_key = ANY(:keys::text[]);

-- name: work.insert_sources
INSERT INTO observation_sources (id, observation_id, agent_event_id, generation_job_id, source_type, source_id, metadata, created_at)
SELECT * FROM unnest(:id::text[], :observation_id::text[], :agent_event_id::text[], :generation_job_id::text[],
                     :source_type::text[], :source_id::text[], :metadata::jsonb[], :created_at::timestamptz[])
ON CONFLICT DO NOTHING;

-- name: work.keep_replies
-- Written before anything else happens to an answer that was paid for; the latest of a job counts. Of a job that others have
-- ended meanwhile nothing is kept: the lock waits for who is about to end it.
INSERT INTO generation_replies (job_id, call_id, document, created_at)
SELECT new.job_id, new.call_id, new.document, new.created_at
FROM unnest(:job_id::text[], :call_id::text[], :document::text[], :created_at::timestamptz[])
  AS new (job_id, call_id, document, created_at)
JOIN observation_generation_jobs AS j ON j.id = new.job_id
WHERE j.status IN ('queued', 'processing')
ORDER BY new.job_id FOR SHARE OF j
ON CONFLICT (job_id) DO UPDATE SET call_id = excluded.call_id, document = excluded.document, created_at = excluded.created_at;

-- name: work.kept_replies
SELECT job_id, call_id, document FROM generation_replies WHERE job_id = ANY(:ids::text[]);

-- name: work.drop_replies
DELETE FROM generation_replies WHERE job_id = ANY(:ids::text[]);

-- name: work.keys
-- Who asked, for a whole group of jobs at once, with the keys that took their places.
WITH RECURSIVE lineage (id) AS (
  SELECT unnest(:ids::text[])
  UNION
  SELECT k.replaced_by FROM lineage JOIN api_keys AS k USING (id) WHERE k.replaced_by IS NOT NULL)
SELECT k.* FROM lineage JOIN api_keys AS k USING (id);

-- name: work.events
-- Each id that was come to, with its event, if there is one. Sizes are looked at one after the other until there is no more room,
-- for a size costs as much as its text.
WITH RECURSIVE come_to (place, total) AS (
    SELECT 0, 0::bigint
    UNION ALL
    SELECT place + 1, total + coalesce((
        SELECT octet_length(payload::text) + octet_length(metadata::text) FROM agent_events WHERE id = (:ids::text[])[place + 1]
    ), 0)
    FROM come_to WHERE total < :most AND place < cardinality(:ids::text[])
)
SELECT (:ids::text[])[place] AS wanted, e.*
FROM come_to LEFT JOIN agent_events AS e ON e.id = (:ids::text[])[place]
WHERE place > 0;

-- name: work.origins
-- Which events observations were made from.
SELECT observation_id, agent_event_id FROM observation_sources WHERE observation_id = ANY(:ids::text[]) AND agent_event_id IS NOT NULL;

-- name: work.projects
SELECT * FROM projects WHERE id = ANY(:ids::text[]);

-- name: work.replace_summaries
-- A newer summary of a session takes the place of the one before, unless somebody has changed that by hand.
DELETE FROM observations WHERE created_by_job_id = ANY(:job_ids::text[]) AND kind = 'summary' AND id <> ALL(:kept::text[]) AND updated_at = created_at;

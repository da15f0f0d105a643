-- name: retention.last_memories
-- The last of those that are kept.
SELECT created_at AS at, id FROM observations
WHERE team_id = :team_id AND project_id = :project_id AND (:kinds::text[] IS NULL OR kind = ANY(:kinds::text[]))
  AND (NOT CAST(:keep_summaries AS boolean) OR kind <> 'summary')
ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET :offset;

-- name: retention.count_memories
SELECT count(*) AS count, min(created_at) AS oldest FROM observations
WHERE team_id = :team_id AND project_id = :project_id AND (:kinds::text[] IS NULL OR kind = ANY(:kinds::text[]))
  AND (NOT CAST(:keep_summaries AS boolean) OR kind <> 'summary')
  AND (created_at, id) < (:before_at::timestamptz, :before_id::text);

-- name: retention.remove_memories
DELETE FROM observations WHERE id IN (
  SELECT id FROM observations
  WHERE team_id = :team_id AND project_id = :project_id AND (:kinds::text[] IS NULL OR kind = ANY(:kinds::text[]))
    AND (NOT CAST(:keep_summaries AS boolean) OR kind <> 'summary')
    AND (created_at, id) < (:before_at::timestamptz, :before_id::text)
  ORDER BY created_at, id LIMIT :limit);

-- name: retention.last_events
SELECT occurred_at AS at, id FROM agent_events
WHERE team_id = :team_id AND project_id = :project_id AND (:kinds::text[] IS NULL OR event_type = ANY(:kinds::text[]))
ORDER BY occurred_at DESC, id DESC LIMIT 1 OFFSET :offset;

-- name: retention.count_events
-- What a provider has still to read stays.
SELECT count(*) AS count, min(occurred_at) AS oldest FROM agent_events
WHERE team_id = :team_id AND project_id = :project_id AND (:kinds::text[] IS NULL OR event_type = ANY(:kinds::text[]))
  AND (occurred_at, id) < (:before_at::timestamptz, :before_id::text)
  AND NOT EXISTS (SELECT 1 FROM observation_generation_jobs AS job WHERE job.agent_event_id = agent_events.id
                      AND job.status IN ('queued', 'processing'));

-- name: retention.remove_events
-- What a provider has still to read stays.
DELETE FROM agent_events WHERE id IN (
  SELECT id FROM agent_events
  WHERE team_id = :team_id AND project_id = :project_id AND (:kinds::text[] IS NULL OR event_type = ANY(:kinds::text[]))
    AND (occurred_at, id) < (:before_at::timestamptz, :before_id::text)
    AND NOT EXISTS (SELECT 1 FROM observation_generation_jobs AS job WHERE job.agent_event_id = agent_events.id
                        AND job.status IN ('queued', 'processing'))
  ORDER BY occurred_at, id LIMIT :limit);

-- name: retention.last_audit
SELECT created_at AS at, id FROM audit_log
WHERE team_id = :team_id AND project_id = :project_id AND (:kinds::text[] IS NULL OR action = ANY(:kinds::text[]))
ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET :offset;

-- name: retention.count_audit
SELECT count(*) AS count, min(created_at) AS oldest FROM audit_log
WHERE team_id = :team_id AND project_id = :project_id AND (:kinds::text[] IS NULL OR action = ANY(:kinds::text[]))
  AND (created_at, id) < (:before_at::timestamptz, :before_id::text);

-- name: retention.remove_audit
DELETE FROM audit_log WHERE id IN (
  SELECT id FROM audit_log
  WHERE team_id = :team_id AND project_id = :project_id AND (:kinds::text[] IS NULL OR action = ANY(:kinds::text[]))
    AND (created_at, id) < (:before_at::timestamptz, :before_id::text)
  ORDER BY created_at, id LIMIT :limit);

-- name: retention.last_sessions
SELECT ended_at AS at, id FROM server_sessions
WHERE team_id = :team_id AND project_id = :project_id AND ended_at IS NOT NULL
ORDER BY ended_at DESC, id DESC LIMIT 1 OFFSET :offset;

-- name: retention.count_sessions
-- Ended, and nothing is left of it: no event, no memory, no job that has still to be done.
SELECT count(*) AS count, min(ended_at) AS oldest FROM server_sessions AS session
WHERE team_id = :team_id AND project_id = :project_id AND (ended_at, id) < (:before_at::timestamptz, :before_id::text)
  AND NOT EXISTS (SELECT 1 FROM agent_events WHERE server_session_id = session.id)
  AND NOT EXISTS (SELECT 1 FROM observations WHERE server_session_id = session.id)
  AND NOT EXISTS (SELECT 1 FROM observation_generation_jobs AS job WHERE job.server_session_id = session.id
                      AND job.status IN ('queued', 'processing'));

-- name: retention.hold_sessions
-- Nobody adds to a session that is held. One that somebody adds to at this moment is passed over.
SELECT id FROM server_sessions AS session
WHERE team_id = :team_id AND project_id = :project_id AND (ended_at, id) < (:before_at::timestamptz, :before_id::text)
  AND NOT EXISTS (SELECT 1 FROM agent_events WHERE server_session_id = session.id)
  AND NOT EXISTS (SELECT 1 FROM observations WHERE server_session_id = session.id)
  AND NOT EXISTS (SELECT 1 FROM observation_generation_jobs AS job WHERE job.server_session_id = session.id
                      AND job.status IN ('queued', 'processing'))
ORDER BY ended_at, id LIMIT :limit
FOR UPDATE SKIP LOCKED;

-- name: retention.remove_jobs_of_sessions
-- A summary's job cannot be without its session. What came to a session before it was held keeps it.
DELETE FROM observation_generation_jobs WHERE server_session_id = ANY(:ids::text[])
  AND status NOT IN ('queued', 'processing')
  AND NOT EXISTS (SELECT 1 FROM agent_events AS event
                  WHERE event.server_session_id = observation_generation_jobs.server_session_id)
  AND NOT EXISTS (SELECT 1 FROM observations AS memory
                  WHERE memory.server_session_id = observation_generation_jobs.server_session_id);

-- name: retention.remove_sessions
DELETE FROM server_sessions WHERE id = ANY(:ids::text[])
  AND NOT EXISTS (SELECT 1 FROM agent_events WHERE server_session_id = server_sessions.id)
  AND NOT EXISTS (SELECT 1 FROM observations WHERE server_session_id = server_sessions.id)
  AND NOT EXISTS (SELECT 1 FROM observation_generation_jobs AS job WHERE job.server_session_id = server_sessions.id);

-- name: jobs.find
SELECT * FROM observation_generation_jobs WHERE id = :id AND team_id = :team_id;

-- name: jobs.find_anywhere
-- For workers and operators, who know a job by its id alone.
SELECT * FROM observation_generation_jobs WHERE id = :id;

-- name: jobs.list
-- Newest first; filters that are null do not apply.
SELECT * FROM observation_generation_jobs
WHERE (CAST(:team_id AS text) IS NULL OR team_id = :team_id)
  AND (CAST(:project_id AS text) IS NULL OR project_id = :project_id)
  AND (CAST(:status AS text) IS NULL OR status = :status)
  AND (CAST(:source_type AS text) IS NULL OR source_type = :source_type)
  AND (CAST(:since AS timestamptz) IS NULL OR created_at >= :since)
ORDER BY created_at DESC, id DESC LIMIT :limit OFFSET :offset;

-- name: jobs.list_behind
-- The same from behind a cursor, which stays right while jobs are added.
SELECT * FROM observation_generation_jobs
WHERE (CAST(:team_id AS text) IS NULL OR team_id = :team_id)
  AND (CAST(:project_id AS text) IS NULL OR project_id = :project_id)
  AND (CAST(:status AS text) IS NULL OR status = :status)
  AND (CAST(:source_type AS text) IS NULL OR source_type = :source_type)
  AND (CAST(:since AS timestamptz) IS NULL OR created_at >= :since)
  AND (CAST(:before_id AS text) IS NULL OR (created_at, id) < (CAST(:before_at AS timestamptz), :before_id))
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: jobs.count
SELECT count(*) AS count FROM observation_generation_jobs
WHERE (CAST(:team_id AS text) IS NULL OR team_id = :team_id)
  AND (CAST(:project_id AS text) IS NULL OR project_id = :project_id)
  AND (CAST(:status AS text) IS NULL OR status = :status)
  AND (CAST(:source_type AS text) IS NULL OR source_type = :source_type)
  AND (CAST(:since AS timestamptz) IS NULL OR created_at >= :since);

-- name: jobs.failed
-- What an operator looks at first: the latest failure on top.
SELECT * FROM observation_generation_jobs
WHERE status = 'failed'
  AND (CAST(:team_id AS text) IS NULL OR team_id = :team_id)
  AND (CAST(:project_id AS text) IS NULL OR project_id = :project_id)
ORDER BY failed_at DESC NULLS LAST, id DESC LIMIT :limit;

-- name: jobs.count_failed
-- How many a redrive would find in all. Rows that claude-mem 13 failed may have no time of it.
SELECT count(*) AS count FROM observation_generation_jobs
WHERE status = 'failed'
  AND (CAST(:team_id AS text) IS NULL OR team_id = :team_id)
  AND (CAST(:project_id AS text) IS NULL OR project_id = :project_id)
  AND (CAST(:lane AS text) IS NULL OR (source_type = 'session_summary') = (:lane = 'summary'))
  AND (CAST(:classification AS text) IS NULL OR last_error ->> 'classification' = :classification)
  AND (CAST(:since AS timestamptz) IS NULL OR COALESCE(failed_at, updated_at) >= :since)
  AND COALESCE(failed_at, updated_at) < :until;

-- name: jobs.count_by_status
SELECT status, count(*) AS count FROM observation_generation_jobs
WHERE (CAST(:team_id AS text) IS NULL OR team_id = :team_id)
  AND (CAST(:project_id AS text) IS NULL OR project_id = :project_id)
GROUP BY status;

-- name: jobs.lanes
-- Depth of each lane; a job that waits for its next attempt is delayed, not waiting. Of each state at most so many are counted, in the
-- order of an index: who asks for health asks often, and must not wait longer for a longer queue.
SELECT CASE WHEN source_type = 'session_summary' THEN 'summary' ELSE 'event' END AS lane, state, count(*) AS count
FROM (SELECT * FROM (SELECT source_type, 'queued' AS state FROM observation_generation_jobs
                     WHERE status = 'queued' AND coalesce(next_attempt_at, created_at) <= :now
                     ORDER BY coalesce(next_attempt_at, created_at), id LIMIT :limit) AS due
      UNION ALL
      SELECT * FROM (SELECT source_type, 'delayed' AS state FROM observation_generation_jobs
                     WHERE status = 'queued' AND coalesce(next_attempt_at, created_at) > :now
                     ORDER BY coalesce(next_attempt_at, created_at), id LIMIT :limit) AS later
      UNION ALL
      SELECT * FROM (SELECT source_type, 'processing' AS state FROM observation_generation_jobs
                     WHERE status = 'processing' LIMIT :limit) AS under_way) AS open_jobs
GROUP BY 1, 2;

-- name: jobs.lanes_ended
-- The latest thousand of a final status, as claude-mem 13 kept them; counting all would read the whole table.
SELECT CASE WHEN source_type = 'session_summary' THEN 'summary' ELSE 'event' END AS lane, count(*) AS count
FROM (SELECT source_type FROM observation_generation_jobs WHERE status = :status LIMIT 1000) AS ended
GROUP BY 1;

-- name: jobs.waiting
-- Depth of each lane and what waits longest, for metrics. At most so many rows are read, what is due first: then the oldest is
-- among them, and a backlog beyond that is large enough to be told as such.
SELECT CASE WHEN source_type = 'session_summary' THEN 'summary' ELSE 'event' END AS lane,
       CASE WHEN due_at > :now THEN 'delayed' ELSE 'due' END AS state, count(*) AS count, min(due_at) AS oldest
FROM (SELECT source_type, coalesce(next_attempt_at, created_at) AS due_at FROM observation_generation_jobs
      WHERE status = 'queued' ORDER BY coalesce(next_attempt_at, created_at), id LIMIT :limit) AS waiting
GROUP BY 1, 2;

-- name: jobs.held
-- A team's queued jobs by what they wait for. At most so many are read.
SELECT lane, state, CASE WHEN state = 'delayed' THEN classification END AS classification, count(*) AS count, min(due_at) AS first_at
FROM (SELECT CASE WHEN source_type = 'session_summary' THEN 'summary' ELSE 'event' END AS lane,
             CASE WHEN coalesce(next_attempt_at, created_at) > :now THEN 'delayed' ELSE 'due' END AS state,
             coalesce(next_attempt_at, created_at) AS due_at,
             coalesce(last_error ->> 'classification', CASE WHEN attempts > 0 THEN 'unknown' END) AS classification
      FROM observation_generation_jobs
      WHERE team_id = :team_id AND status = 'queued' AND (CAST(:project_id AS text) IS NULL OR project_id = :project_id)
      ORDER BY created_at LIMIT :limit) AS queued
GROUP BY 1, 2, 3;

-- name: jobs.in_status
-- At most so many, for metrics.
SELECT CASE WHEN source_type = 'session_summary' THEN 'summary' ELSE 'event' END AS lane, count(*) AS count
FROM (SELECT source_type FROM observation_generation_jobs WHERE status = :status LIMIT :limit) AS those
GROUP BY 1;

-- name: jobs.events
SELECT * FROM observation_generation_job_events WHERE generation_job_id = :id ORDER BY created_at, id;

-- name: jobs.hand_back
-- A worker that stops gives its jobs back as if they had not been taken.
UPDATE observation_generation_jobs
SET status = 'queued', attempts = attempts - 1, locked_at = NULL, locked_by = NULL, lease_expires_at = NULL, updated_at = :now
WHERE id = :id AND status = 'processing' AND attempts = :attempt AND locked_by = :worker AND attempts > 0 RETURNING *;

-- name: jobs.fail_exhausted
-- Rows left queued with no attempt to spare would wait for ever.
UPDATE observation_generation_jobs
SET status = 'failed', failed_at = :now, last_error = COALESCE(last_error, :last_error), updated_at = :now
WHERE status = 'queued' AND attempts >= max_attempts RETURNING *;

-- name: jobs.cancel
-- Guarded: a job that completed in the meantime stays completed.
UPDATE observation_generation_jobs
SET status = 'cancelled', cancelled_at = :now, next_attempt_at = NULL, locked_at = NULL, locked_by = NULL,
    lease_expires_at = NULL, updated_at = :now
WHERE id = :id AND status IN ('queued', 'processing', 'failed') RETURNING *;

-- name: jobs.purge
DELETE FROM observation_generation_jobs WHERE team_id = :team_id AND project_id = :project_id;

-- name: jobs.reopen_summary
-- A session that went on after its summary was made gets a new one, after a while in which nothing more happened.
UPDATE observation_generation_jobs
SET status = 'queued', attempts = 0, next_attempt_at = :next_attempt_at, completed_at = NULL, last_error = NULL, updated_at = :now
WHERE id = :id AND status = 'completed'
  AND EXISTS (SELECT 1 FROM agent_events AS e
              WHERE e.server_session_id = :server_session_id AND e.created_at > observation_generation_jobs.completed_at)
RETURNING *;

-- name: jobs.put_off
-- The session still goes on. A summary that waits longer already, for a budget or a provider, is left at its time.
UPDATE observation_generation_jobs SET next_attempt_at = :next_attempt_at
WHERE id = :id AND status = 'queued' AND attempts = 0 AND next_attempt_at < :next_attempt_at RETURNING *;

-- name: spending.by_session
-- The rows themselves: counters of sessions would never end. A row that does not name its session is its job's.
SELECT coalesce(
           CASE WHEN json_valid(e.metadata) THEN json_extract(e.metadata, '$.serverSessionId') END, j.server_session_id
       ) AS session_id,
       u.model, sum(u.tokens) AS tokens, sum(u.input_tokens) AS input_tokens, sum(u.output_tokens) AS output_tokens,
       count(*) AS calls, sum(u.failed_calls) AS failed_calls
FROM usage_events AS e
JOIN call_usage AS u ON u.id = e.id AND NOT u.own
LEFT JOIN observation_generation_jobs AS j
    ON j.id = CASE WHEN json_valid(e.metadata) THEN json_extract(e.metadata, '$.jobId') END AND j.team_id = e.team_id
WHERE e.kind = 'tokens' AND (:team_id IS NULL OR e.team_id = :team_id)
  AND (:project_id IS NULL OR e.project_id = :project_id)
  AND e.created_at >= :since AND e.created_at < :until
GROUP BY 1, 2;

-- name: budgets.resume
-- Jobs that wait for a budget are due at once when the budget changes; those that still have none wait again.
UPDATE observation_generation_jobs SET next_attempt_at = :now, updated_at = :now
WHERE team_id = :team_id AND status = 'queued' AND next_attempt_at > :now
  AND CASE WHEN json_valid(last_error) THEN json_extract(last_error, '$.classification') END = :classification;

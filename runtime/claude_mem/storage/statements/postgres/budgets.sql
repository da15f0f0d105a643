-- name: spending.by_session
-- The rows themselves: counters of sessions would never end. A row that does not name its session is its job's.
SELECT coalesce(u.metadata ->> 'serverSessionId', j.server_session_id) AS session_id, p.model,
       sum(u.quantity)::BIGINT AS tokens, sum(p.input_tokens)::BIGINT AS input_tokens,
       sum(p.output_tokens)::BIGINT AS output_tokens, count(*) AS calls, sum(p.failed_calls)::BIGINT AS failed_calls
FROM usage_events AS u
CROSS JOIN LATERAL claude_mem_call_usage(u.quantity, u.metadata) AS p
LEFT JOIN observation_generation_jobs AS j ON j.id = u.metadata ->> 'jobId' AND j.team_id = u.team_id
WHERE u.kind = 'tokens' AND (:team_id::text IS NULL OR u.team_id = :team_id)
  AND (:project_id::text IS NULL OR u.project_id = :project_id)
  AND u.created_at >= :since AND u.created_at < :until
GROUP BY 1, 2;

-- name: budgets.resume
-- Jobs that wait for a budget are due at once when the budget changes; those that still have none wait again.
UPDATE observation_generation_jobs SET next_attempt_at = :now, updated_at = :now
WHERE team_id = :team_id AND status = 'queued' AND next_attempt_at > :now
  AND last_error ->> 'classification' = :classification;

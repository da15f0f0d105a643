-- name: budgets.standing
-- Every budget of a team that a project's calls count against (all of them where no project is named), with what was
-- spent in its current period, a row for each model. The default daily budget stands in where the team has none of its
-- own. Reads ranges of the counters' primary key: at most a month of days, times models and lanes.
WITH wanted AS (
    SELECT b.id, b.project_id, b.period, b.token_limit, b.micro_usd_limit, b.warn_percent
    FROM budgets AS b
    WHERE b.team_id = :team_id
      AND (CAST(:project_id AS TEXT) IS NULL OR b.project_id IS NULL OR b.project_id = :project_id)
    UNION ALL
    SELECT NULL, NULL, 'day', CAST(:default_tokens AS BIGINT), NULL, CAST(:default_percent AS INTEGER)
    WHERE CAST(:default_tokens AS BIGINT) IS NOT NULL
      AND NOT EXISTS (
          SELECT 1 FROM budgets AS b WHERE b.team_id = :team_id AND b.project_id IS NULL AND b.period = 'day')
)
SELECT w.id, w.project_id, w.period, w.token_limit, w.micro_usd_limit, w.warn_percent, d.model,
       CAST(coalesce(sum(d.tokens), 0) AS BIGINT) AS tokens,
       CAST(coalesce(sum(d.input_tokens), 0) AS BIGINT) AS input_tokens,
       CAST(coalesce(sum(d.output_tokens), 0) AS BIGINT) AS output_tokens
FROM wanted AS w
LEFT JOIN usage_days AS d
    ON d.team_id = :team_id AND d.project_id = coalesce(w.project_id, '')
   AND d.day <= CAST(:day AS TIMESTAMPTZ)
   AND d.day >= CASE w.period WHEN 'day' THEN CAST(:day AS TIMESTAMPTZ) ELSE CAST(:month AS TIMESTAMPTZ) END
GROUP BY w.id, w.project_id, w.period, w.token_limit, w.micro_usd_limit, w.warn_percent, d.model
ORDER BY coalesce(w.project_id, ''), w.period, d.model;

-- name: budgets.put
-- One budget for each scope and period; setting it again replaces its limits and keeps its id.
INSERT INTO budgets (id, team_id, project_id, period, token_limit, micro_usd_limit, warn_percent, created_at, updated_at)
VALUES (:id, :team_id, :project_id, :period, :token_limit, :micro_usd_limit, :warn_percent, :now, :now)
ON CONFLICT (team_id, coalesce(project_id, ''), period) DO UPDATE SET
    token_limit = excluded.token_limit, micro_usd_limit = excluded.micro_usd_limit,
    warn_percent = excluded.warn_percent, updated_at = excluded.updated_at
RETURNING id;

-- name: budgets.remove
DELETE FROM budgets
WHERE team_id = :team_id AND coalesce(project_id, '') = coalesce(CAST(:project_id AS TEXT), '') AND period = :period
RETURNING id;

-- name: budgets.noticed
-- Whether a notice of this id was written down before.
SELECT 1 AS noticed FROM audit_log WHERE id = :id;

-- name: spending.by_period
-- Sums over whole days of a team (every team where none is named) or one of its projects, by what is asked for.
SELECT CASE WHEN CAST(:by AS TEXT) = 'team' THEN team_id END AS team,
       CASE WHEN CAST(:by AS TEXT) = 'day' THEN day END AS day,
       CASE WHEN CAST(:by AS TEXT) = 'lane' THEN lane END AS lane,
       model,
       CAST(sum(tokens) AS BIGINT) AS tokens,
       CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
       CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
       CAST(sum(calls) AS BIGINT) AS calls,
       CAST(sum(failed_calls) AS BIGINT) AS failed_calls
FROM usage_days
WHERE (CAST(:team_id AS TEXT) IS NULL OR team_id = :team_id)
  AND project_id = coalesce(CAST(:project_id AS TEXT), '') AND day >= :since AND day < :until
GROUP BY 1, 2, 3, 4;

-- name: spending.by_project
-- Sums of each project, and of the whole team (an empty project_id), from which what belongs to no project is found.
SELECT project_id, model,
       CAST(sum(tokens) AS BIGINT) AS tokens,
       CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
       CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
       CAST(sum(calls) AS BIGINT) AS calls,
       CAST(sum(failed_calls) AS BIGINT) AS failed_calls
FROM usage_days
WHERE (CAST(:team_id AS TEXT) IS NULL OR team_id = :team_id)
  AND (CAST(:project_id AS TEXT) IS NULL OR project_id = :project_id) AND day >= :since AND day < :until
GROUP BY 1, 2;

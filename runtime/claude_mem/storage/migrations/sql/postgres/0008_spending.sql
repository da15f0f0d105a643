-- description: budgets, and token counters by day, project, model and lane
--
-- A budget is compared with a few dozen rows of one index range instead of a sum over a day's or a month's usage. As for
-- the monthly counters, triggers keep the sums, so it does not matter who writes usage_events; the rows that are already
-- there are added under the same lock that installs the triggers.

-- name: lock
-- Writers of usage wait until the commit, readers do not. The order is that of the cascade of a deleted team.
LOCK TABLE teams, projects, usage_events IN SHARE ROW EXCLUSIVE MODE;

-- name: budgets
-- What a team, or a project of it, may spend in a UTC day or month. A limit that is null does not apply; money is in
-- millionths of a US dollar.
CREATE TABLE budgets (
    id              TEXT PRIMARY KEY,
    team_id         TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    project_id      TEXT,
    period          TEXT NOT NULL CHECK (period IN ('day', 'month')),
    token_limit     BIGINT,
    micro_usd_limit BIGINT,
    warn_percent    INTEGER NOT NULL DEFAULT 80,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    FOREIGN KEY (project_id, team_id) REFERENCES projects (id, team_id) ON DELETE CASCADE
);

-- name: idx_budgets_scope
-- One budget for each scope and period, and what a team's calls are checked against.
CREATE UNIQUE INDEX idx_budgets_scope ON budgets (team_id, coalesce(project_id, ''), period);

-- name: usage_days
-- Sums of the rows of kind tokens. An empty project_id is the whole team, rows without a project included; so the
-- column references nothing. Text that a writer chose is cut, so that it always fits the index.
CREATE TABLE usage_days (
    team_id       TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    project_id    TEXT NOT NULL,
    day           TIMESTAMPTZ NOT NULL,
    model         TEXT NOT NULL,
    lane          TEXT NOT NULL,
    tokens        BIGINT NOT NULL DEFAULT 0,
    input_tokens  BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    calls         BIGINT NOT NULL DEFAULT 0,
    failed_calls  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (team_id, project_id, day, model, lane)
);

-- name: claude_mem_call_usage
-- What one usage row says of a call. Metadata may be any JSON; what is missing or senseless counts as unknown, and a
-- part is never more than the whole. Written as one SELECT so that PostgreSQL can inline it.
CREATE FUNCTION claude_mem_call_usage(quantity BIGINT, metadata JSONB)
RETURNS TABLE (model TEXT, lane TEXT, input_tokens BIGINT, output_tokens BIGINT, failed_calls BIGINT)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT left(coalesce(metadata ->> 'model', ''), 100),
           left(coalesce(metadata ->> 'lane', ''), 20),
           CASE WHEN jsonb_typeof(metadata -> 'inputTokens') = 'number'
                THEN greatest(least((metadata ->> 'inputTokens')::NUMERIC, quantity), 0)::BIGINT ELSE 0 END,
           CASE WHEN jsonb_typeof(metadata -> 'outputTokens') = 'number'
                THEN greatest(least((metadata ->> 'outputTokens')::NUMERIC, quantity), 0)::BIGINT ELSE 0 END,
           CASE WHEN metadata -> 'failed' = 'true' THEN 1 ELSE 0 END::BIGINT
$$;

-- name: claude_mem_count_days
-- Takes away what leaves and adds what comes, rows in the order of the primary key, so that two statements never wait for
-- each other in a circle. When a team goes, its counters may go first: then nothing is counted any more. The search path
-- is fixed because a writer's may not hold our tables.
CREATE FUNCTION claude_mem_count_days() RETURNS TRIGGER
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF tg_op = 'TRUNCATE' THEN
        DELETE FROM usage_days;
        RETURN NULL;
    END IF;
    IF tg_op <> 'INSERT' THEN
        INSERT INTO usage_days AS d
        SELECT u.team_id, scope.id, date_trunc('day', u.created_at, 'UTC'), p.model, p.lane, -sum(u.quantity)::BIGINT,
               -sum(p.input_tokens)::BIGINT, -sum(p.output_tokens)::BIGINT, -count(*), -sum(p.failed_calls)::BIGINT
        FROM removed u
        CROSS JOIN LATERAL claude_mem_call_usage(u.quantity, u.metadata) p
        CROSS JOIN LATERAL (VALUES (''), (u.project_id)) scope (id)
        WHERE u.kind = 'tokens' AND scope.id IS NOT NULL AND EXISTS (SELECT FROM teams t WHERE t.id = u.team_id)
        GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (team_id, project_id, day, model, lane) DO UPDATE SET
            tokens = d.tokens + excluded.tokens,
            input_tokens = d.input_tokens + excluded.input_tokens,
            output_tokens = d.output_tokens + excluded.output_tokens,
            calls = d.calls + excluded.calls,
            failed_calls = d.failed_calls + excluded.failed_calls;
    END IF;
    IF tg_op <> 'DELETE' THEN
        INSERT INTO usage_days AS d
        SELECT u.team_id, scope.id, date_trunc('day', u.created_at, 'UTC'), p.model, p.lane, sum(u.quantity)::BIGINT,
               sum(p.input_tokens)::BIGINT, sum(p.output_tokens)::BIGINT, count(*), sum(p.failed_calls)::BIGINT
        FROM added u
        CROSS JOIN LATERAL claude_mem_call_usage(u.quantity, u.metadata) p
        CROSS JOIN LATERAL (VALUES (''), (u.project_id)) scope (id)
        WHERE u.kind = 'tokens' AND scope.id IS NOT NULL AND EXISTS (SELECT FROM teams t WHERE t.id = u.team_id)
        GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (team_id, project_id, day, model, lane) DO UPDATE SET
            tokens = d.tokens + excluded.tokens,
            input_tokens = d.input_tokens + excluded.input_tokens,
            output_tokens = d.output_tokens + excluded.output_tokens,
            calls = d.calls + excluded.calls,
            failed_calls = d.failed_calls + excluded.failed_calls;
    END IF;
    RETURN NULL;
END
$$;

-- name: usage_days_added
-- New rows.
CREATE TRIGGER usage_days_added AFTER INSERT ON usage_events
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION claude_mem_count_days();

-- name: usage_days_changed
-- Changed rows leave their old counters and enter the new ones; those of a deleted project stay the team's.
CREATE TRIGGER usage_days_changed AFTER UPDATE ON usage_events
REFERENCING OLD TABLE AS removed NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION claude_mem_count_days();

-- name: usage_days_removed
-- Retention and the cascade of a deleted team.
CREATE TRIGGER usage_days_removed AFTER DELETE ON usage_events
REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION claude_mem_count_days();

-- name: usage_days_truncated
-- An emptied table has no usage.
CREATE TRIGGER usage_days_truncated AFTER TRUNCATE ON usage_events
FOR EACH STATEMENT EXECUTE FUNCTION claude_mem_count_days();

-- name: backfill
-- Every row there is.
INSERT INTO usage_days
SELECT u.team_id, scope.id, date_trunc('day', u.created_at, 'UTC'), p.model, p.lane, sum(u.quantity)::BIGINT,
       sum(p.input_tokens)::BIGINT, sum(p.output_tokens)::BIGINT, count(*), sum(p.failed_calls)::BIGINT
FROM usage_events u
CROSS JOIN LATERAL claude_mem_call_usage(u.quantity, u.metadata) p
CROSS JOIN LATERAL (VALUES (''), (u.project_id)) scope (id)
WHERE u.kind = 'tokens' AND scope.id IS NOT NULL
GROUP BY 1, 2, 3, 4, 5;

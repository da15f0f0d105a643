-- description: budgets, and token counters by day, project, model and lane

-- name: budgets
-- What a team, or a project of it, may spend in a UTC day or month. A limit that is null does not apply; money is in
-- millionths of a US dollar.
CREATE TABLE budgets (
    id              TEXT NOT NULL PRIMARY KEY,
    team_id         TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    project_id      TEXT,
    period          TEXT NOT NULL CHECK (period IN ('day', 'month')),
    token_limit     INTEGER,
    micro_usd_limit INTEGER,
    warn_percent    INTEGER NOT NULL DEFAULT 80,
    created_at      INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    updated_at      INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    FOREIGN KEY (project_id, team_id) REFERENCES projects (id, team_id) ON DELETE CASCADE
) STRICT;

-- name: idx_budgets_scope
-- One budget for each scope and period, and what a team's calls are checked against.
CREATE UNIQUE INDEX idx_budgets_scope ON budgets (team_id, coalesce(project_id, ''), period);

-- name: usage_days
-- Sums of the rows of kind tokens. An empty project_id is the whole team, rows without a project included; so the
-- column references nothing.
CREATE TABLE usage_days (
    team_id       TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    project_id    TEXT NOT NULL,
    day           INTEGER NOT NULL,
    model         TEXT NOT NULL,
    lane          TEXT NOT NULL,
    tokens        INTEGER NOT NULL DEFAULT 0,
    input_tokens  INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    calls         INTEGER NOT NULL DEFAULT 0,
    failed_calls  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (team_id, project_id, day, model, lane)
) STRICT, WITHOUT ROWID;

-- name: call_usage
-- What a usage row says of a call, once for the whole team and once for its project. Metadata may be any text; what is
-- missing or senseless counts as unknown, and a part is never more than the whole.
CREATE VIEW call_usage AS
SELECT u.id, u.team_id, scope.own,
       CASE WHEN scope.own THEN u.project_id ELSE '' END AS project_id,
       u.created_at - ((u.created_at % 86400000000) + 86400000000) % 86400000000 AS day,
       substr(CASE WHEN json_valid(u.metadata) THEN coalesce(json_extract(u.metadata, '$.model'), '') ELSE '' END, 1, 100)
           AS model,
       substr(CASE WHEN json_valid(u.metadata) THEN coalesce(json_extract(u.metadata, '$.lane'), '') ELSE '' END, 1, 20)
           AS lane,
       u.quantity AS tokens,
       CASE WHEN json_valid(u.metadata) AND json_type(u.metadata, '$.inputTokens') IN ('integer', 'real')
            THEN CAST(max(min(json_extract(u.metadata, '$.inputTokens'), u.quantity), 0) AS INTEGER) ELSE 0 END
           AS input_tokens,
       CASE WHEN json_valid(u.metadata) AND json_type(u.metadata, '$.outputTokens') IN ('integer', 'real')
            THEN CAST(max(min(json_extract(u.metadata, '$.outputTokens'), u.quantity), 0) AS INTEGER) ELSE 0 END
           AS output_tokens,
       CASE WHEN json_valid(u.metadata) AND json_type(u.metadata, '$.failed') = 'true' THEN 1 ELSE 0 END AS failed_calls
FROM usage_events AS u
JOIN (SELECT 0 AS own UNION ALL SELECT 1) AS scope ON NOT scope.own OR u.project_id IS NOT NULL
WHERE u.kind = 'tokens';

-- name: usage_days_added
-- Triggers keep the sums, so it does not matter who writes usage.
CREATE TRIGGER usage_days_added AFTER INSERT ON usage_events WHEN new.kind = 'tokens' BEGIN
    INSERT INTO usage_days (
        team_id, project_id, day, model, lane, tokens, input_tokens, output_tokens, calls, failed_calls
    )
    SELECT team_id, project_id, day, model, lane, tokens, input_tokens, output_tokens, 1, failed_calls
    FROM call_usage WHERE id = new.id
    ON CONFLICT (team_id, project_id, day, model, lane) DO UPDATE SET
        tokens = tokens + excluded.tokens,
        input_tokens = input_tokens + excluded.input_tokens,
        output_tokens = output_tokens + excluded.output_tokens,
        calls = calls + excluded.calls,
        failed_calls = failed_calls + excluded.failed_calls;
END;

-- name: usage_days_removed
-- Before, because the view reads the row. Never inserts: when a team goes, its counters may have gone first.
CREATE TRIGGER usage_days_removed BEFORE DELETE ON usage_events WHEN old.kind = 'tokens' BEGIN
    UPDATE usage_days SET
        tokens = usage_days.tokens - u.tokens,
        input_tokens = usage_days.input_tokens - u.input_tokens,
        output_tokens = usage_days.output_tokens - u.output_tokens,
        calls = usage_days.calls - 1,
        failed_calls = usage_days.failed_calls - u.failed_calls
    FROM (SELECT * FROM call_usage WHERE id = old.id) AS u
    WHERE usage_days.team_id = u.team_id AND usage_days.project_id = u.project_id AND usage_days.day = u.day
      AND usage_days.model = u.model AND usage_days.lane = u.lane;
END;

-- name: usage_days_leaving
-- A row that is about to change leaves its counters ...
CREATE TRIGGER usage_days_leaving BEFORE UPDATE ON usage_events WHEN old.kind = 'tokens' BEGIN
    UPDATE usage_days SET
        tokens = usage_days.tokens - u.tokens,
        input_tokens = usage_days.input_tokens - u.input_tokens,
        output_tokens = usage_days.output_tokens - u.output_tokens,
        calls = usage_days.calls - 1,
        failed_calls = usage_days.failed_calls - u.failed_calls
    FROM (SELECT * FROM call_usage WHERE id = old.id) AS u
    WHERE usage_days.team_id = u.team_id AND usage_days.project_id = u.project_id AND usage_days.day = u.day
      AND usage_days.model = u.model AND usage_days.lane = u.lane;
END;

-- name: usage_days_entering
-- ... and enters the new ones, unless its team is on the way out.
CREATE TRIGGER usage_days_entering AFTER UPDATE ON usage_events WHEN new.kind = 'tokens' BEGIN
    INSERT INTO usage_days (
        team_id, project_id, day, model, lane, tokens, input_tokens, output_tokens, calls, failed_calls
    )
    SELECT team_id, project_id, day, model, lane, tokens, input_tokens, output_tokens, 1, failed_calls
    FROM call_usage WHERE id = new.id AND EXISTS (SELECT 1 FROM teams WHERE teams.id = new.team_id)
    ON CONFLICT (team_id, project_id, day, model, lane) DO UPDATE SET
        tokens = tokens + excluded.tokens,
        input_tokens = input_tokens + excluded.input_tokens,
        output_tokens = output_tokens + excluded.output_tokens,
        calls = calls + excluded.calls,
        failed_calls = failed_calls + excluded.failed_calls;
END;

-- name: backfill
-- Every row there is.
INSERT INTO usage_days
SELECT team_id, project_id, day, model, lane, sum(tokens), sum(input_tokens), sum(output_tokens), count(*),
       sum(failed_calls)
FROM call_usage GROUP BY team_id, project_id, day, model, lane;

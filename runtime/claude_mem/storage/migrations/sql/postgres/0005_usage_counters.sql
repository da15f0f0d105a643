-- description: monthly usage counters kept by the database
--
-- Caps are compared with one row instead of a sum over a month of rows. A trigger keeps the counters, so it does
-- not matter who writes usage_events; the rows that are already there are added under the same lock that
-- installs the trigger, so none is missed and none counted twice.

-- name: lock
-- Writers wait until the commit, readers do not. teams comes first, as in the cascade of a deleted team: a
-- transaction that took the two the other way round could deadlock with one.
LOCK TABLE teams, usage_events IN SHARE ROW EXCLUSIVE MODE;

-- name: usage_counters
-- period_start is the first instant of a month in UTC.
CREATE TABLE usage_counters (
    team_id      TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    period_start TIMESTAMPTZ NOT NULL,
    kind         TEXT NOT NULL,
    quantity     BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (team_id, period_start, kind)
);

-- name: claude_mem_count_usage
-- Adds and subtracts whole statements at once. Rows are locked in the order of the primary key, so that two
-- statements never wait for each other in a circle. When a team goes, its counters may go first, so neither what
-- leaves nor an update that counts the same (the cascade clears project_id) ever inserts a counter. The search
-- path is fixed because a writer's may not hold our tables.
CREATE FUNCTION claude_mem_count_usage() RETURNS TRIGGER
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF tg_op = 'TRUNCATE' THEN
        DELETE FROM usage_counters;
        RETURN NULL;
    END IF;
    IF tg_op = 'UPDATE' THEN
        IF NOT EXISTS (
            SELECT team_id, kind, quantity, created_at FROM removed
            EXCEPT ALL
            SELECT team_id, kind, quantity, created_at FROM added
        ) THEN
            RETURN NULL;
        END IF;
    END IF;
    IF tg_op <> 'INSERT' THEN
        PERFORM FROM usage_counters
        WHERE (team_id, period_start, kind) IN (
            SELECT team_id, date_trunc('month', created_at, 'UTC'), kind FROM removed)
        ORDER BY team_id, period_start, kind
        FOR UPDATE;
        UPDATE usage_counters c SET quantity = c.quantity - gone.quantity
        FROM (
            SELECT team_id, date_trunc('month', created_at, 'UTC') AS period_start, kind,
                   sum(quantity)::BIGINT AS quantity
            FROM removed GROUP BY 1, 2, 3
        ) gone
        WHERE (c.team_id, c.period_start, c.kind) = (gone.team_id, gone.period_start, gone.kind);
    END IF;
    IF tg_op <> 'DELETE' THEN
        INSERT INTO usage_counters AS c (team_id, period_start, kind, quantity)
        SELECT team_id, date_trunc('month', created_at, 'UTC'), kind, sum(quantity)::BIGINT
        FROM added GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (team_id, period_start, kind) DO UPDATE SET quantity = c.quantity + excluded.quantity;
    END IF;
    RETURN NULL;
END
$$;

-- name: usage_events_added
-- New rows.
CREATE TRIGGER usage_events_added AFTER INSERT ON usage_events
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION claude_mem_count_usage();

-- name: usage_events_changed
-- Changed rows leave their old counter and enter the new one.
CREATE TRIGGER usage_events_changed AFTER UPDATE ON usage_events
REFERENCING OLD TABLE AS removed NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION claude_mem_count_usage();

-- name: usage_events_removed
-- Retention and the cascade of a deleted team.
CREATE TRIGGER usage_events_removed AFTER DELETE ON usage_events
REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION claude_mem_count_usage();

-- name: usage_events_truncated
-- An emptied table has no usage.
CREATE TRIGGER usage_events_truncated AFTER TRUNCATE ON usage_events
FOR EACH STATEMENT EXECUTE FUNCTION claude_mem_count_usage();

-- name: backfill
-- Every row there is, this month's and the past ones'.
INSERT INTO usage_counters (team_id, period_start, kind, quantity)
SELECT team_id, date_trunc('month', created_at, 'UTC'), kind, sum(quantity)::BIGINT
FROM usage_events GROUP BY 1, 2, 3;

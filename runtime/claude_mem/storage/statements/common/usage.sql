-- name: usage.totals
-- Sums the rows themselves, whoever wrote them.
SELECT kind, SUM(quantity) AS quantity FROM usage_events
WHERE team_id = :team_id AND created_at >= :since GROUP BY kind ORDER BY kind;

-- name: usage.counter
-- Kept by a trigger on usage_events, so it counts rows of every writer without summing a month of them.
SELECT quantity FROM usage_counters WHERE team_id = :team_id AND period_start = :period_start AND kind = :kind;

-- name: limits.hit
-- One atomic count a window; requests that are refused count too.
INSERT INTO rate_limit_counters (subject_id, window_start, count) VALUES (:subject_id, :window_start, 1)
ON CONFLICT (subject_id, window_start) DO UPDATE SET count = rate_limit_counters.count + 1
RETURNING count;

-- name: limits.forget
-- Windows that are over serve nobody.
DELETE FROM rate_limit_counters WHERE window_start < :before;

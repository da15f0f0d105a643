-- name: retention.insert
INSERT INTO retention_rules (id, team_id, project_id, subject, kinds, max_age_days, keep_last, keep_summaries, next_run_at, created_at)
VALUES (:id, :team_id, :project_id, :subject, :kinds, :max_age_days, :keep_last, :keep_summaries, :now, :now);

-- name: retention.of_team
SELECT * FROM retention_rules WHERE team_id = :team_id ORDER BY created_at, id;

-- name: retention.due
SELECT * FROM retention_rules WHERE next_run_at <= :now AND (locked_until IS NULL OR locked_until <= :now)
ORDER BY next_run_at, id LIMIT :limit;

-- name: retention.delete
DELETE FROM retention_rules WHERE id = :id AND team_id = :team_id RETURNING *;

-- name: retention.claim
-- Whoever comes second finds the rule locked.
UPDATE retention_rules SET locked_until = :until WHERE id = :id AND (locked_until IS NULL OR locked_until <= :now) RETURNING id;

-- name: retention.renew
-- In the transaction of each batch: one whose turn is over, or whose rule is gone, removes nothing.
UPDATE retention_rules SET locked_until = :until WHERE id = :id AND locked_until = :held RETURNING id;

-- name: retention.finish
UPDATE retention_rules SET locked_until = NULL, next_run_at = :next_run_at, last_run_at = :now, last_removed = :removed
WHERE id = :id AND locked_until = :held;

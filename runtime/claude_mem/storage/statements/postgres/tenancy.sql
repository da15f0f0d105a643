-- name: projects.lock_shared
-- Taken first and in a fixed order by all who add rows that a purge removes, so that none adds them behind its back.
SELECT id, team_id FROM projects WHERE id = ANY(:ids::text[]) ORDER BY id FOR SHARE;

-- name: projects.lock_exclusive
-- A purge keeps writers of the project out until it commits. Not FOR UPDATE: foreign keys would wait for that, and with
-- them changes of single rows, which the purge in turn waits for.
SELECT id FROM projects WHERE id = :id AND team_id = :team_id FOR NO KEY UPDATE;

-- name: projects.lock_shared
-- One writer at a time: the transaction itself is the lock.
SELECT id, team_id FROM projects WHERE id IN (SELECT value FROM json_each(:ids)) ORDER BY id;

-- name: projects.lock_exclusive
SELECT id FROM projects WHERE id = :id AND team_id = :team_id;

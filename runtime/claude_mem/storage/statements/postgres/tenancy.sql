-- name: projects.lock_shared
-- Taken in a fixed order by every writer, so that a purge and an ingest never wait for each other in a circle.
SELECT id, team_id FROM projects WHERE id = ANY(:ids::text[]) ORDER BY id FOR KEY SHARE;

-- name: projects.lock_exclusive
-- A purge keeps writers of the project out until it commits.
SELECT id FROM projects WHERE id = :id AND team_id = :team_id FOR UPDATE;

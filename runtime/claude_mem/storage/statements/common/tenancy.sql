-- name: teams.insert
INSERT INTO teams (id, name, metadata, created_at, updated_at) VALUES (:id, :name, :metadata, :now, :now)
ON CONFLICT (id) DO NOTHING;

-- name: teams.find
SELECT id, name, metadata, created_at, updated_at FROM teams WHERE id = :id;

-- name: teams.by_name
-- Names are not unique in adopted databases; the oldest is the one that claude-mem 13 used.
SELECT id, name, metadata, created_at, updated_at FROM teams WHERE name = :name ORDER BY created_at, id LIMIT 1;

-- name: teams.list
SELECT id, name, metadata, created_at, updated_at FROM teams
WHERE CAST(:after_id AS text) IS NULL OR (created_at, id) > (CAST(:after_at AS timestamptz), :after_id)
ORDER BY created_at, id LIMIT :limit;

-- name: teams.rename
UPDATE teams SET name = :name, updated_at = :now WHERE id = :id
RETURNING id, name, metadata, created_at, updated_at;

-- name: projects.insert
INSERT INTO projects (id, team_id, name, metadata, created_at, updated_at)
VALUES (:id, :team_id, :name, :metadata, :now, :now)
ON CONFLICT (id) DO NOTHING;

-- name: projects.find
SELECT id, team_id, name, metadata, created_at, updated_at FROM projects WHERE id = :id AND team_id = :team_id;

-- name: projects.find_anywhere
-- For operators at the command line, who name a project without its team.
SELECT id, team_id, name, metadata, created_at, updated_at FROM projects WHERE id = :id;

-- name: projects.by_name
SELECT id, team_id, name, metadata, created_at, updated_at FROM projects
WHERE team_id = :team_id AND name = :name ORDER BY created_at, id LIMIT 1;

-- name: projects.list
-- Oldest first, from behind the cursor; a project-scoped key sees its own project only.
SELECT id, team_id, name, metadata, created_at, updated_at FROM projects
WHERE team_id = :team_id
  AND (CAST(:project_id AS text) IS NULL OR id = :project_id)
  AND (CAST(:after_id AS text) IS NULL OR (created_at, id) > (CAST(:after_at AS timestamptz), :after_id))
ORDER BY created_at, id LIMIT :limit;

-- name: projects.update
UPDATE projects SET name = :name, metadata = :metadata, updated_at = :now WHERE id = :id AND team_id = :team_id
RETURNING id, team_id, name, metadata, created_at, updated_at;

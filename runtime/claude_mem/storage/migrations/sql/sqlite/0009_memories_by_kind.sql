-- description: an index for lists of memories of one kind

-- name: idx_observations_team_project_kind
-- A project's memories of one kind in order; without it a list of a rare kind reads the whole project.
CREATE INDEX idx_observations_team_project_kind ON observations (team_id, project_id, kind, created_at, id);

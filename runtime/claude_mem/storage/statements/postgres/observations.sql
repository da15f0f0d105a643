-- name: observations.find_to_update
-- Held until the change commits, so that two changes at once are both kept.
SELECT id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at, generation_key, created_by_job_id
FROM observations WHERE id = :id AND team_id = :team_id FOR UPDATE;

-- name: observations.by_ids
SELECT id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at, generation_key, created_by_job_id
FROM observations WHERE id = ANY(:ids::text[]) AND team_id = :team_id;

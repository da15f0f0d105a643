-- name: sessions.find
SELECT * FROM server_sessions WHERE id = :id AND team_id = :team_id;

-- name: sessions.by_external
SELECT * FROM server_sessions
WHERE project_id = :project_id AND team_id = :team_id AND external_session_id = :external_session_id
  AND platform_source IS NOT DISTINCT FROM CAST(:platform_source AS text);

-- name: sessions.list
-- Those that began last come first, from behind the cursor; a project that is null does not apply.
SELECT * FROM server_sessions
WHERE team_id = :team_id
  AND (CAST(:project_id AS text) IS NULL OR project_id = :project_id)
  AND (CAST(:before_id AS text) IS NULL OR (started_at, id) < (CAST(:before_at AS timestamptz), :before_id))
ORDER BY started_at DESC, id DESC LIMIT :limit;

-- name: sessions.insert
-- Two starts at once: the second finds the first by its key and is told nothing was inserted.
INSERT INTO server_sessions (id, project_id, team_id, external_session_id, idempotency_key, content_session_id, agent_id,
                             agent_type, platform_source, metadata, started_at, created_at, updated_at)
VALUES (:id, :project_id, :team_id, :external_session_id, :idempotency_key, :content_session_id, :agent_id,
        :agent_type, :platform_source, :metadata, :now, :now, :now)
ON CONFLICT DO NOTHING
RETURNING *;

-- name: sessions.by_key
SELECT * FROM server_sessions WHERE project_id = :project_id AND team_id = :team_id AND idempotency_key = :idempotency_key;

-- name: sessions.end
-- The first end counts; later ones change nothing.
UPDATE server_sessions SET ended_at = COALESCE(ended_at, :now), updated_at = CASE WHEN ended_at IS NULL THEN :now ELSE updated_at END
WHERE id = :id AND team_id = :team_id RETURNING *;

-- name: sessions.mark_generated
UPDATE server_sessions SET generation_status = :status, last_generated_at = :now, updated_at = :now
WHERE id = :id AND team_id = :team_id AND project_id = :project_id;

-- name: sessions.purge
DELETE FROM server_sessions WHERE team_id = :team_id AND project_id = :project_id;

-- name: sessions.release_key
-- An agent's key stands for its open session; once that has ended, the next start makes a session of its own.
UPDATE server_sessions SET idempotency_key = NULL, updated_at = :now WHERE id = :id AND ended_at IS NOT NULL;

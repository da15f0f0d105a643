-- name: audit.list
-- Newest first, from behind the cursor.
SELECT id, team_id, project_id, actor_id, api_key_id, action, resource_type, resource_id, details, created_at
FROM audit_log
WHERE team_id = :team_id
  AND (CAST(:project_id AS text) IS NULL OR project_id = :project_id)
  AND (CAST(:action AS text) IS NULL OR action = :action)
  AND (CAST(:resource_id AS text) IS NULL OR resource_id = :resource_id)
  AND (CAST(:before_id AS text) IS NULL OR (created_at, id) < (CAST(:before_at AS timestamptz), :before_id))
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: keys.insert
INSERT INTO api_keys (id, key_hash, team_id, project_id, actor_id, scopes, expires_at, name, key_prefix, created_at, updated_at)
VALUES (:id, :key_hash, :team_id, :project_id, :actor_id, :scopes, :expires_at, :name, :key_prefix, :now, :now);

-- name: keys.find
SELECT * FROM api_keys WHERE id = :id;

-- name: keys.list
-- Newest first, from behind the cursor.
SELECT * FROM api_keys
WHERE (CAST(:team_id AS text) IS NULL OR team_id = :team_id)
  AND (CAST(:project_id AS text) IS NULL OR project_id = :project_id)
  AND (NOT :active OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)))
  AND (CAST(:before_id AS text) IS NULL OR (created_at, id) < (CAST(:before_at AS timestamptz), :before_id))
ORDER BY created_at DESC, id DESC LIMIT :limit OFFSET :offset;

-- name: keys.working
-- What one maker of keys has given a project, so that a newer one of the same name can take its place.
SELECT * FROM api_keys
WHERE team_id = :team_id AND project_id = :project_id AND actor_id = :actor_id AND name = :name AND revoked_at IS NULL
ORDER BY created_at, id;

-- name: keys.revoke
-- Guarded, so that only one of two callers is told that it did it.
UPDATE api_keys SET revoked_at = :now, updated_at = :now, replaced_by = COALESCE(:replaced_by, replaced_by)
WHERE id = :id AND revoked_at IS NULL RETURNING *;

-- name: keys.replace
-- Rotation with an overlap: the old key works until its new expiry.
UPDATE api_keys SET replaced_by = :replaced_by, expires_at = :expires_at, updated_at = :now
WHERE id = :id AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now) RETURNING *;

-- name: keys.set_scopes
UPDATE api_keys SET scopes = :scopes, updated_at = :now WHERE id = :id AND revoked_at IS NULL RETURNING *;

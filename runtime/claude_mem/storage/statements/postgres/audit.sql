-- name: audit.insert
INSERT INTO audit_log (id, team_id, project_id, actor_id, api_key_id, action, resource_type, resource_id, details, created_at)
SELECT * FROM unnest(:id::text[], :team_id::text[], :project_id::text[], :actor_id::text[], :api_key_id::text[],
                     :action::text[], :resource_type::text[], :resource_id::text[], :details::jsonb[], :created_at::timestamptz[]);

-- name: audit.clear_queries
-- What was searched for quotes what was remembered. The line itself stays: who looked, when, and at how many.
UPDATE audit_log SET details = (details - 'query') || '{"queryCleared": true}'::jsonb
WHERE project_id = :project_id AND team_id = :team_id AND jsonb_typeof(details) = 'object' AND details ? 'query';

-- name: audit.list
-- Newest first, from behind the cursor. A team's lines and a project's are in the order of an index each; a project that may be null
-- would be sought through all that the team has. The bound on the time says nothing new, but a plan for any parameters can begin there.
SELECT id, team_id, project_id, actor_id, api_key_id, action, resource_type, resource_id, details, created_at
FROM ((SELECT * FROM audit_log
       WHERE :project_id::text IS NULL AND team_id = :team_id
         AND coalesce(action = :action, true) AND coalesce(resource_id = :resource_id, :resource_id::text IS NULL)
         AND created_at <= coalesce(:before_at::timestamptz, 'infinity')
         AND (:before_id::text IS NULL OR (created_at, id) < (:before_at::timestamptz, :before_id))
       ORDER BY created_at DESC, id DESC LIMIT :limit)
      UNION ALL
      (SELECT * FROM audit_log
       WHERE team_id = :team_id AND project_id = :project_id
         AND coalesce(action = :action, true) AND coalesce(resource_id = :resource_id, :resource_id::text IS NULL)
         AND created_at <= coalesce(:before_at::timestamptz, 'infinity')
         AND (:before_id::text IS NULL OR (created_at, id) < (:before_at::timestamptz, :before_id))
       ORDER BY created_at DESC, id DESC LIMIT :limit)) AS page
ORDER BY created_at DESC, id DESC;

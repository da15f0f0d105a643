-- name: audit.insert
INSERT INTO audit_log (id, team_id, project_id, actor_id, api_key_id, action, resource_type, resource_id, details, created_at)
SELECT * FROM unnest(:id::text[], :team_id::text[], :project_id::text[], :actor_id::text[], :api_key_id::text[],
                     :action::text[], :resource_type::text[], :resource_id::text[], :details::jsonb[], :created_at::timestamptz[]);

-- name: audit.clear_queries
-- What was searched for quotes what was remembered. The line itself stays: who looked, when, and at how many.
UPDATE audit_log SET details = (details - 'query') || '{"queryCleared": true}'::jsonb
WHERE project_id = :project_id AND team_id = :team_id AND jsonb_typeof(details) = 'object' AND details ? 'query';

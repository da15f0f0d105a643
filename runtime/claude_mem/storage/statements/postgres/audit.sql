-- name: audit.insert
INSERT INTO audit_log (id, team_id, project_id, actor_id, api_key_id, action, resource_type, resource_id, details, created_at)
SELECT * FROM unnest(:id::text[], :team_id::text[], :project_id::text[], :actor_id::text[], :api_key_id::text[],
                     :action::text[], :resource_type::text[], :resource_id::text[], :details::jsonb[], :created_at::timestamptz[]);

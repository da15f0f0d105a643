-- name: audit.insert
INSERT INTO audit_log (id, team_id, project_id, actor_id, api_key_id, action, resource_type, resource_id, details, created_at)
SELECT value ->> 'id', value ->> 'team_id', value ->> 'project_id', value ->> 'actor_id', value ->> 'api_key_id',
       value ->> 'action', value ->> 'resource_type', value ->> 'resource_id', value ->> 'details', value ->> 'created_at'
FROM json_each(:rows);

-- name: audit.clear_queries
-- What was searched for quotes what was remembered. The line itself stays: who looked, when, and at how many.
UPDATE audit_log SET details = json_set(json_remove(details, '$.query'), '$.queryCleared', json('true'))
WHERE project_id = :project_id AND team_id = :team_id AND json_type(details, '$.query') IS NOT NULL;

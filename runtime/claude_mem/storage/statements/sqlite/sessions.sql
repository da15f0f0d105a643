-- name: sessions.in_scope
SELECT id, project_id, team_id FROM server_sessions WHERE id IN (SELECT value FROM json_each(:ids));

-- name: sessions.refresh
UPDATE server_sessions SET metadata = merge_members(metadata, :metadata), agent_id = COALESCE(:agent_id, agent_id),
       agent_type = COALESCE(:agent_type, agent_type), updated_at = :now
WHERE id = :id RETURNING *;

-- name: sessions.link
SELECT wanted.value ->> 'position' AS position,
       (SELECT s.id FROM server_sessions AS s
        WHERE s.team_id = wanted.value ->> 'team_id' AND s.project_id = wanted.value ->> 'project_id'
          AND s.content_session_id = wanted.value ->> 'content_session_id'
          AND (wanted.value ->> 'any_platform' OR s.platform_source IS wanted.value ->> 'platform_source')
        ORDER BY s.started_at DESC, s.id DESC LIMIT 1) AS id
FROM json_each(:rows) AS wanted;

-- name: sessions.by_ids
SELECT * FROM server_sessions WHERE id IN (SELECT value FROM json_each(:ids)) AND team_id = :team_id;

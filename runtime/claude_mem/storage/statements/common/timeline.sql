-- name: timeline.observations_after
-- Oldest first, from behind the position; the way back is observations.list. Those for which there is no room come without their
-- texts.
SELECT id, project_id, team_id, server_session_id, kind,
       CASE WHEN coalesce(earlier, 0) < :most THEN content END AS content,
       CASE WHEN coalesce(earlier, 0) < :most THEN metadata END AS metadata,
       created_at, updated_at, generation_key, created_by_job_id
FROM (
    SELECT page.*, sum(length(content) + length(CAST(metadata AS text)))
                   OVER (ORDER BY created_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
    FROM (
        SELECT id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at, generation_key,
               created_by_job_id
        FROM observations
        WHERE team_id = :team_id AND project_id = :project_id
          AND (CAST(:server_session_id AS text) IS NULL OR server_session_id = :server_session_id)
          AND (created_at, id) > (CAST(:at AS timestamptz), :id)
        ORDER BY created_at, id LIMIT :limit
    ) AS page
) AS sized
ORDER BY created_at, id;

-- name: timeline.events_before
-- Of a payload, which may have megabytes, only what tells at a glance what happened.
SELECT id, server_session_id, event_type, occurred_at,
       substr(payload ->> 'tool_name', 1, 100) AS tool,
       substr(payload ->> 'prompt', 1, 500) AS prompt,
       substr(COALESCE(payload ->> 'last_assistant_message', payload ->> 'message', payload ->> 'text'), 1, 500) AS said,
       substr(COALESCE(payload -> 'tool_input' ->> 'file_path', payload -> 'tool_input' ->> 'command',
                       payload -> 'tool_input' ->> 'pattern', payload -> 'tool_input' ->> 'url'), 1, 500) AS object
FROM agent_events
WHERE team_id = :team_id AND project_id = :project_id
  AND (CAST(:server_session_id AS text) IS NULL OR server_session_id = :server_session_id)
  AND (occurred_at, id) < (CAST(:at AS timestamptz), :id)
ORDER BY occurred_at DESC, id DESC LIMIT :limit;

-- name: timeline.events_after
SELECT id, server_session_id, event_type, occurred_at,
       substr(payload ->> 'tool_name', 1, 100) AS tool,
       substr(payload ->> 'prompt', 1, 500) AS prompt,
       substr(COALESCE(payload ->> 'last_assistant_message', payload ->> 'message', payload ->> 'text'), 1, 500) AS said,
       substr(COALESCE(payload -> 'tool_input' ->> 'file_path', payload -> 'tool_input' ->> 'command',
                       payload -> 'tool_input' ->> 'pattern', payload -> 'tool_input' ->> 'url'), 1, 500) AS object
FROM agent_events
WHERE team_id = :team_id AND project_id = :project_id
  AND (CAST(:server_session_id AS text) IS NULL OR server_session_id = :server_session_id)
  AND (occurred_at, id) > (CAST(:at AS timestamptz), :id)
ORDER BY occurred_at, id LIMIT :limit;

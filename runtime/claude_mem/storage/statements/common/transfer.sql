-- name: transfer.sessions
-- A page of an export, from behind the cursor. It ends where its texts add up to so many characters, but has one row at least.
SELECT * FROM (
    SELECT page.*, sum(length(CAST(metadata AS text))) OVER (ORDER BY started_at, id) - length(CAST(metadata AS text)) AS before
    FROM (SELECT * FROM server_sessions
          WHERE team_id = :team_id AND project_id = :project_id
            AND (started_at, id) > (CAST(:after_at AS timestamptz), CAST(:after_id AS text))
          ORDER BY started_at, id LIMIT :limit) AS page
) AS measured WHERE before < :characters ORDER BY started_at, id;

-- name: transfer.events
-- With the id that the agent gives the conversation, which is part of what the event's key was computed from.
SELECT measured.*, session.content_session_id FROM (
    SELECT page.*, sum(length(CAST(payload AS text))) OVER (ORDER BY occurred_at, id) - length(CAST(payload AS text)) AS before
    FROM (SELECT * FROM agent_events
          WHERE team_id = :team_id AND project_id = :project_id
            AND (occurred_at, id) > (CAST(:after_at AS timestamptz), CAST(:after_id AS text))
          ORDER BY occurred_at, id LIMIT :limit) AS page
) AS measured LEFT JOIN server_sessions AS session ON session.id = measured.server_session_id
WHERE before < :characters ORDER BY occurred_at, measured.id;

-- name: transfer.observations
SELECT * FROM (
    SELECT page.*, sum(length(content) + length(CAST(metadata AS text))) OVER (ORDER BY created_at, id)
                   - length(content) - length(CAST(metadata AS text)) AS before
    FROM (SELECT id, project_id, server_session_id, kind, content, metadata, created_at, updated_at FROM observations
          WHERE team_id = :team_id AND project_id = :project_id
            AND (created_at, id) > (CAST(:after_at AS timestamptz), CAST(:after_id AS text))
          ORDER BY created_at, id LIMIT :limit) AS page
) AS measured WHERE before < :characters ORDER BY created_at, id;

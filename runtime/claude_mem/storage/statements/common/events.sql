-- name: events.find
SELECT * FROM agent_events WHERE id = :id AND team_id = :team_id;

-- name: events.of_session
-- The newest of a session within the limit; the caller puts them in order. Those for which there is no room come without payload
-- and metadata. Each is sure of an equal share of the room; those that need more come behind all others, the newest first.
-- The outer limit leaves nothing out; PostgreSQL would write each payload as text several times without it.
SELECT id, project_id, team_id, server_session_id, source_adapter, source_event_id, event_type, platform_source,
       CASE WHEN coalesce(earlier, 0) < :most THEN payload END AS payload,
       CASE WHEN coalesce(earlier, 0) < :most THEN metadata END AS metadata, occurred_at, received_at, created_at
FROM (
    SELECT measured.*, sum(size) OVER (ORDER BY size > CAST(:most AS bigint) / CAST(:limit AS bigint), occurred_at DESC, id DESC
                                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
    FROM (
        SELECT page.*, length(CAST(payload AS text)) + length(CAST(metadata AS text)) AS size
        FROM (
            SELECT * FROM agent_events
            WHERE team_id = :team_id AND project_id = :project_id AND server_session_id = :server_session_id
            ORDER BY occurred_at DESC, id DESC LIMIT :limit
        ) AS page
        LIMIT :limit
    ) AS measured
) AS sized
ORDER BY occurred_at DESC, id DESC;

-- name: events.purge
DELETE FROM agent_events WHERE team_id = :team_id AND project_id = :project_id;

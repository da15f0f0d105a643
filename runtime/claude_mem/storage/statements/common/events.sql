-- name: events.find
SELECT * FROM agent_events WHERE id = :id AND team_id = :team_id;

-- name: events.of_session
-- The newest of a session within the limit; the caller puts them in order.
SELECT * FROM agent_events
WHERE team_id = :team_id AND project_id = :project_id AND server_session_id = :server_session_id
ORDER BY occurred_at DESC, id DESC LIMIT :limit;

-- name: events.purge
DELETE FROM agent_events WHERE team_id = :team_id AND project_id = :project_id;

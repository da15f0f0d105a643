-- name: events.insert
INSERT INTO agent_events (id, project_id, team_id, server_session_id, source_adapter, source_event_id, idempotency_key,
                          event_type, platform_source, payload, metadata, occurred_at, received_at, created_at)
SELECT value ->> 'id', value ->> 'project_id', value ->> 'team_id', value ->> 'server_session_id', value ->> 'source_adapter',
       value ->> 'source_event_id', value ->> 'idempotency_key', value ->> 'event_type', value ->> 'platform_source',
       value ->> 'payload', value ->> 'metadata', value ->> 'occurred_at', value ->> 'received_at', value ->> 'created_at'
FROM json_each(:rows) WHERE true
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING id;

-- name: events.by_keys
SELECT * FROM agent_events WHERE idempotency_key IN (SELECT value FROM json_each(:keys));

-- name: events.merge
UPDATE agent_events SET metadata = merge_members(metadata, :metadata), platform_source = COALESCE(platform_source, :platform_source)
WHERE id = :id RETURNING *;

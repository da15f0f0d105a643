-- name: events.insert
-- One statement for a whole group of requests. Rows come sorted by key, so that two groups never wait for each other.
INSERT INTO agent_events (id, project_id, team_id, server_session_id, source_adapter, source_event_id, idempotency_key,
                          event_type, platform_source, payload, metadata, occurred_at, received_at, created_at)
SELECT * FROM unnest(:id::text[], :project_id::text[], :team_id::text[], :server_session_id::text[], :source_adapter::text[],
                     :source_event_id::text[], :idempotency_key::text[], :event_type::text[], :platform_source::text[],
                     :payload::jsonb[], :metadata::jsonb[], :occurred_at::timestamptz[], :received_at::timestamptz[],
                     :created_at::timestamptz[])
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING id;

-- name: events.by_keys
SELECT * FROM agent_events WHERE idempotency_key = ANY(:keys::text[]);

-- name: events.merge
-- What a duplicate may add: members of its metadata, and the platform where none was known.
UPDATE agent_events SET metadata = metadata || :metadata::jsonb, platform_source = COALESCE(platform_source, :platform_source::text)
WHERE id = :id RETURNING *;

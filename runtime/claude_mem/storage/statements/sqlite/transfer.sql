-- name: transfer.sources
SELECT observation_id, source_type, source_id, metadata, created_at FROM observation_sources
WHERE observation_id IN (SELECT value FROM json_each(:ids)) ORDER BY observation_id, created_at, source_type, source_id;

-- name: transfer.events_in_scope
SELECT id, project_id, team_id FROM agent_events WHERE id IN (SELECT value FROM json_each(:ids));

-- name: transfer.observations_in_scope
SELECT id, project_id, team_id FROM observations WHERE id IN (SELECT value FROM json_each(:ids));

-- name: transfer.insert_sessions
-- One that is there under its id, its key or its external id is left as it is.
INSERT INTO server_sessions (id, project_id, team_id, external_session_id, idempotency_key, content_session_id, agent_id, agent_type,
                             platform_source, generation_status, metadata, started_at, ended_at, last_generated_at, created_at, updated_at)
SELECT value ->> 'id', value ->> 'project_id', value ->> 'team_id', value ->> 'external_session_id', value ->> 'idempotency_key',
       value ->> 'content_session_id', value ->> 'agent_id', value ->> 'agent_type', value ->> 'platform_source',
       value ->> 'generation_status', value ->> 'metadata', value ->> 'started_at', value ->> 'ended_at',
       value ->> 'last_generated_at', value ->> 'created_at', value ->> 'updated_at'
FROM json_each(:rows) WHERE true
ON CONFLICT DO NOTHING
RETURNING id;

-- name: transfer.insert_observations
INSERT INTO observations (id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at)
SELECT value ->> 'id', value ->> 'project_id', value ->> 'team_id', value ->> 'server_session_id', value ->> 'kind',
       value ->> 'content', value ->> 'metadata', value ->> 'created_at', value ->> 'updated_at'
FROM json_each(:rows) WHERE true
ON CONFLICT DO NOTHING
RETURNING id;

-- name: transfer.insert_sources
INSERT INTO observation_sources (id, observation_id, agent_event_id, source_type, source_id, metadata, created_at)
SELECT value ->> 'id', value ->> 'observation_id', value ->> 'agent_event_id', value ->> 'source_type', value ->> 'source_id',
       value ->> 'metadata', value ->> 'created_at'
FROM json_each(:rows) WHERE true
ON CONFLICT DO NOTHING
RETURNING id;

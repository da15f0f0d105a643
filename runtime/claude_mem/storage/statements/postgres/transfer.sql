-- name: transfer.sources
SELECT observation_id, source_type, source_id, metadata, created_at FROM observation_sources
WHERE observation_id = ANY(:ids::text[]) ORDER BY observation_id, created_at, source_type, source_id;

-- name: transfer.events_in_scope
SELECT id, project_id, team_id FROM agent_events WHERE id = ANY(:ids::text[]);

-- name: transfer.observations_in_scope
SELECT id, project_id, team_id FROM observations WHERE id = ANY(:ids::text[]);

-- name: transfer.insert_sessions
-- One that is there under its id, its key or its external id is left as it is.
INSERT INTO server_sessions (id, project_id, team_id, external_session_id, idempotency_key, content_session_id, agent_id, agent_type,
                             platform_source, generation_status, metadata, started_at, ended_at, last_generated_at, created_at, updated_at)
SELECT * FROM unnest(:id::text[], :project_id::text[], :team_id::text[], :external_session_id::text[], :idempotency_key::text[],
                     :content_session_id::text[], :agent_id::text[], :agent_type::text[], :platform_source::text[],
                     :generation_status::text[], :metadata::jsonb[], :started_at::timestamptz[], :ended_at::timestamptz[],
                     :last_generated_at::timestamptz[], :created_at::timestamptz[], :updated_at::timestamptz[])
ON CONFLICT DO NOTHING
RETURNING id;

-- name: transfer.insert_observations
INSERT INTO observations (id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at)
SELECT * FROM unnest(:id::text[], :project_id::text[], :team_id::text[], :server_session_id::text[], :kind::text[], :content::text[],
                     :metadata::jsonb[], :created_at::timestamptz[], :updated_at::timestamptz[])
ON CONFLICT DO NOTHING
RETURNING id;

-- name: transfer.insert_sources
INSERT INTO observation_sources (id, observation_id, agent_event_id, source_type, source_id, metadata, created_at)
SELECT * FROM unnest(:id::text[], :observation_id::text[], :agent_event_id::text[], :source_type::text[], :source_id::text[],
                     :metadata::jsonb[], :created_at::timestamptz[])
ON CONFLICT DO NOTHING
RETURNING id;

-- name: origins.sources
SELECT id AS source_row_id, observation_id AS id, source_type, source_id, generation_job_id AS source_job_id, created_at AS source_created_at
FROM observation_sources WHERE observation_id = :id ORDER BY created_at, source_type, source_id LIMIT :limit;

-- name: origins.events
-- As in a timeline, only what tells at a glance what happened.
SELECT e.id, e.server_session_id, e.event_type, e.occurred_at,
       substr(e.payload ->> 'tool_name', 1, 100) AS tool,
       substr(e.payload ->> 'prompt', 1, 500) AS prompt,
       substr(COALESCE(e.payload ->> 'last_assistant_message', e.payload ->> 'message', e.payload ->> 'text'), 1, 500) AS said,
       substr(COALESCE(e.payload -> 'tool_input' ->> 'file_path', e.payload -> 'tool_input' ->> 'command',
                       e.payload -> 'tool_input' ->> 'pattern', e.payload -> 'tool_input' ->> 'url'), 1, 500) AS object
FROM observation_sources AS s JOIN agent_events AS e ON e.id = s.agent_event_id
WHERE s.observation_id = :id AND e.team_id = :team_id AND e.project_id = :project_id
ORDER BY e.occurred_at, e.id LIMIT :limit;

-- name: origins.jobs
-- Its few jobs first: beside a condition on the id, all jobs of the team might be read.
SELECT j.*
FROM (SELECT s.generation_job_id AS id FROM observation_sources AS s WHERE s.observation_id = :id
      UNION SELECT o.created_by_job_id FROM observations AS o WHERE o.id = :id) AS made
JOIN observation_generation_jobs AS j ON j.id = made.id
WHERE j.team_id = :team_id AND j.project_id = :project_id
ORDER BY j.created_at, j.id LIMIT :limit;

-- name: origins.calls
-- A call's tokens are one row, which is known by the call.
SELECT u.id, u.team_id, u.project_id, u.kind, u.quantity, u.metadata, u.created_at FROM usage_events AS u
WHERE u.team_id = :team_id AND u.kind = 'tokens'
  AND u.id IN (SELECT s.metadata ->> 'callId' FROM observation_sources AS s WHERE s.observation_id = :id)
ORDER BY u.created_at, u.id LIMIT :limit;

-- The statements with which claude-mem 13 writes its tables: its columns and its conflict clauses.

-- name: teams
insert into teams (id, name, metadata)
values ($1, $2, $3::jsonb)

-- name: projects
insert into projects (id, team_id, name, metadata)
values ($1, $2, $3, $4::jsonb)

-- name: team_members
insert into team_members (team_id, user_id, role)
values ($1, $2, $3)

-- name: api_keys
insert into api_keys (id, key_hash, team_id, project_id, actor_id, scopes, expires_at)
values ($1, $2, $3, $4, $5, $6::jsonb, $7)

-- name: audit_log
insert into audit_log (id, team_id, project_id, actor_id, api_key_id, action, resource_type, resource_id,
    details)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb)

-- name: server_sessions
insert into server_sessions (id, project_id, team_id, external_session_id, idempotency_key,
    content_session_id, agent_id, agent_type, platform_source, generation_status, metadata)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb)
on conflict (project_id, idempotency_key) where idempotency_key is not null
do update set metadata = excluded.metadata, updated_at = now()
returning id

-- name: agent_events
insert into agent_events (id, project_id, team_id, server_session_id, source_adapter, source_event_id,
    idempotency_key, event_type, platform_source, payload, metadata, occurred_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11::jsonb, $12)
on conflict (idempotency_key)
do update set metadata = agent_events.metadata || excluded.metadata, platform_source =
    coalesce(excluded.platform_source, agent_events.platform_source)
returning id

-- name: observation_generation_jobs
insert into observation_generation_jobs (id, project_id, team_id, agent_event_id, source_type, source_id,
    server_session_id, job_type, status, idempotency_key, bullmq_job_id, max_attempts, payload)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::jsonb)
on conflict (idempotency_key)
do update set payload = observation_generation_jobs.payload || excluded.payload, updated_at = now()
returning id

-- name: observation_generation_job_events
insert into observation_generation_job_events (id, generation_job_id, event_type, status_after, attempt,
    details)
select $1, id, $3, $4, $5, $6::jsonb
from observation_generation_jobs where id = $2

-- name: observations
insert into observations (id, project_id, team_id, server_session_id, kind, content, generation_key, metadata,
    embedding, created_by_job_id)
values ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9::jsonb, $10)
on conflict (team_id, project_id, generation_key) where generation_key is not null
do update set updated_at = observations.updated_at
returning id

-- name: observation_sources
insert into observation_sources (id, observation_id, agent_event_id, generation_job_id, source_type,
    source_id, metadata)
values ($1, $2, $3, $4, $5, $6, $7::jsonb)
on conflict (observation_id, source_type, source_id)
do update set metadata = observation_sources.metadata || excluded.metadata

-- name: usage_events
insert into usage_events (id, team_id, project_id, kind, quantity, metadata)
values ($1, $2, $3, $4, $5, $6::jsonb)

-- name: rate_limit_counters
insert into rate_limit_counters (subject_id, window_start, count)
values ($1, $2, 1)
on conflict (subject_id, window_start)
do update set count = rate_limit_counters.count + 1

-- What the last claude-mem 13 leaves in an empty database: its tables, then what it widened later, then its indexes.
-- Written apart from the product's version 1, so that a test can compare the two in the catalog.

create table server_beta_schema_migrations (
    version integer primary key, description text not null, applied_at timestamptz not null default now());

create table teams (
    id text primary key, name text not null, metadata jsonb not null default '{}',
    created_at timestamptz not null default now(), updated_at timestamptz not null default now());

create table projects (
    id text primary key, team_id text not null references teams on delete cascade, name text not null,
    metadata jsonb not null default '{}',
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    unique (id, team_id));

create table team_members (
    team_id text not null references teams on delete cascade, user_id text not null, role text not null,
    metadata jsonb not null default '{}',
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    primary key (team_id, user_id));

create table api_keys (
    id text primary key, key_hash text not null unique, team_id text references teams on delete cascade,
    project_id text references projects on delete cascade, actor_id text not null,
    scopes jsonb not null default '[]', revoked_at timestamptz, expires_at timestamptz,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    check (project_id is null or team_id is not null),
    foreign key (project_id, team_id) references projects (id, team_id) on delete cascade);

create table audit_log (
    id text primary key, team_id text references teams on delete set null,
    project_id text references projects on delete set null, actor_id text,
    api_key_id text references api_keys on delete set null, action text not null, resource_type text not null,
    resource_id text, details jsonb not null default '{}', created_at timestamptz not null default now(),
    check (project_id is null or team_id is not null),
    foreign key (project_id, team_id) references projects (id, team_id) on delete set null);

create table server_sessions (
    id text primary key, project_id text not null references projects on delete cascade,
    team_id text not null references teams on delete cascade, external_session_id text, idempotency_key text,
    content_session_id text, agent_id text, agent_type text, platform_source text,
    generation_status text not null default 'idle', metadata jsonb not null default '{}',
    started_at timestamptz not null default now(), ended_at timestamptz, last_generated_at timestamptz,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    foreign key (project_id, team_id) references projects (id, team_id) on delete cascade);

create table agent_events (
    id text primary key, project_id text not null references projects on delete cascade,
    team_id text not null references teams on delete cascade,
    server_session_id text references server_sessions on delete set null, source_adapter text not null,
    source_event_id text, idempotency_key text not null, event_type text not null, payload jsonb not null,
    metadata jsonb not null default '{}', occurred_at timestamptz not null,
    received_at timestamptz not null default now(), created_at timestamptz not null default now(),
    unique (idempotency_key), unique (id, project_id, team_id),
    foreign key (project_id, team_id) references projects (id, team_id) on delete cascade);

create table observation_generation_jobs (
    id text primary key, project_id text not null references projects on delete cascade,
    team_id text not null references teams on delete cascade,
    agent_event_id text references agent_events on delete cascade,
    source_type text not null check (source_type in ('agent_event', 'session_summary', 'observation_reindex')),
    source_id text not null, server_session_id text references server_sessions on delete set null,
    job_type text not null,
    status text not null check (status in ('queued', 'processing', 'completed', 'failed', 'cancelled')),
    idempotency_key text not null unique, bullmq_job_id text unique, attempts integer not null default 0,
    max_attempts integer not null default 3, next_attempt_at timestamptz, locked_at timestamptz, locked_by text,
    completed_at timestamptz, failed_at timestamptz, cancelled_at timestamptz, last_error jsonb,
    payload jsonb not null default '{}',
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    check ((source_type = 'agent_event' and agent_event_id is not null and source_id = agent_event_id)
        or (source_type = 'session_summary' and agent_event_id is null and server_session_id is not null
            and source_id = server_session_id)
        or (source_type = 'observation_reindex' and agent_event_id is null)),
    foreign key (agent_event_id, project_id, team_id) references agent_events (id, project_id, team_id)
        on delete cascade,
    foreign key (project_id, team_id) references projects (id, team_id) on delete cascade);

create table observations (
    id text primary key, project_id text not null references projects on delete cascade,
    team_id text not null references teams on delete cascade,
    server_session_id text references server_sessions on delete set null,
    kind text not null default 'observation', content text not null,
    content_search tsvector generated always as (to_tsvector('english', content)) stored, generation_key text,
    metadata jsonb not null default '{}', embedding jsonb,
    created_by_job_id text references observation_generation_jobs on delete set null,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    foreign key (project_id, team_id) references projects (id, team_id) on delete cascade);

create table observation_sources (
    id text primary key, observation_id text not null references observations on delete cascade,
    agent_event_id text references agent_events on delete cascade,
    generation_job_id text references observation_generation_jobs on delete set null,
    source_type text not null
        check (source_type in ('agent_event', 'session_summary', 'observation_reindex', 'manual')),
    source_id text not null, metadata jsonb not null default '{}', created_at timestamptz not null default now(),
    unique (observation_id, source_type, source_id),
    unique (source_type, source_id, generation_job_id, observation_id),
    check ((source_type = 'agent_event' and agent_event_id is not null and source_id = agent_event_id)
        or (source_type <> 'agent_event' and agent_event_id is null)));

create table observation_generation_job_events (
    id text primary key,
    generation_job_id text not null references observation_generation_jobs on delete cascade,
    event_type text not null check (event_type in
        ('queued', 'enqueued', 'processing', 'retry_scheduled', 'completed', 'failed', 'cancelled')),
    status_after text not null
        check (status_after in ('queued', 'processing', 'completed', 'failed', 'cancelled')),
    attempt integer not null default 0, details jsonb not null default '{}',
    created_at timestamptz not null default now());

alter table agent_events add column platform_source text;

create table usage_events (
    id text primary key, team_id text not null references teams on delete cascade,
    project_id text references projects on delete set null, kind text not null,
    quantity bigint not null default 1, metadata jsonb not null default '{}',
    created_at timestamptz not null default now());

create table rate_limit_counters (
    subject_id text not null, window_start timestamptz not null, count bigint not null default 0,
    primary key (subject_id, window_start));

create index idx_projects_team on projects (team_id, id);
create index idx_audit_log_scope_created on audit_log (project_id, team_id, created_at);
create unique index idx_server_sessions_project_idempotency on server_sessions (project_id, idempotency_key)
    where idempotency_key is not null;
create unique index idx_server_sessions_external_session_legacy
    on server_sessions (project_id, external_session_id)
    where external_session_id is not null and platform_source is null;
create unique index idx_server_sessions_external_session_platform
    on server_sessions (project_id, platform_source, external_session_id)
    where external_session_id is not null and platform_source is not null;
create index idx_server_sessions_platform_source
    on server_sessions (team_id, project_id, platform_source, started_at) where platform_source is not null;
create index idx_server_sessions_content_session_platform
    on server_sessions (team_id, project_id, platform_source, content_session_id, started_at desc)
    where content_session_id is not null;
create index idx_agent_events_project_session on agent_events (project_id, server_session_id, occurred_at);
create index idx_agent_events_team_project on agent_events (team_id, project_id, occurred_at);
create index idx_agent_events_platform_source on agent_events (team_id, project_id, platform_source, occurred_at)
    where platform_source is not null;
create unique index idx_observation_jobs_source_scope
    on observation_generation_jobs (team_id, project_id, source_type, source_id, job_type);
create index idx_observation_jobs_status_next_attempt
    on observation_generation_jobs (status, next_attempt_at, created_at);
create index idx_observation_jobs_team_project
    on observation_generation_jobs (team_id, project_id, status, created_at);
create index idx_observation_jobs_event on observation_generation_jobs (agent_event_id);
create index idx_observation_jobs_source on observation_generation_jobs (source_type, source_id);
create unique index idx_observations_generation_key_scope on observations (team_id, project_id, generation_key)
    where generation_key is not null;
create index idx_observations_content_search on observations using gin (content_search);
create index idx_observations_project_session on observations (project_id, server_session_id, created_at);
create index idx_observations_team_project on observations (team_id, project_id, created_at);
create index idx_observation_sources_event on observation_sources (agent_event_id);
create index idx_observation_sources_source on observation_sources (source_type, source_id);
create index idx_observation_job_events_job_created
    on observation_generation_job_events (generation_job_id, created_at);
create index idx_usage_events_team_created on usage_events (team_id, created_at);
create index idx_usage_events_team_kind_created on usage_events (team_id, kind, created_at);
create index idx_rate_limit_counters_window on rate_limit_counters (window_start);

insert into server_beta_schema_migrations (version, description)
values (1, 'phase 1 postgres observation storage foundation');

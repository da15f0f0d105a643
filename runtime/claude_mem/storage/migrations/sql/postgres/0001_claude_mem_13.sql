-- description: tables of claude-mem 13
--
-- The schema that claude-mem 13 leaves behind, name for name, so that the two can share one database.
-- On an adopted database version 1 is already recorded and none of this runs. Everything says IF NOT EXISTS
-- for a database whose tables were made but never recorded.

-- name: server_beta_schema_migrations
-- Which versions are applied; the name is persisted in every claude-mem database.
CREATE TABLE IF NOT EXISTS server_beta_schema_migrations (
    version     INTEGER PRIMARY KEY,
    description TEXT NOT NULL,
    applied_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- name: teams
-- The outer tenant; names are labels and need not be unique.
CREATE TABLE IF NOT EXISTS teams (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    metadata   JSONB NOT NULL DEFAULT '{}'::JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- name: projects
-- The inner tenant; the pair of ids is the target of every composite foreign key.
CREATE TABLE IF NOT EXISTS projects (
    id         TEXT PRIMARY KEY,
    team_id    TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    metadata   JSONB NOT NULL DEFAULT '{}'::JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE (id, team_id)
);

-- name: team_members
-- People of a team; roles are checked by the program, not here.
CREATE TABLE IF NOT EXISTS team_members (
    team_id    TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    user_id    TEXT NOT NULL,
    role       TEXT NOT NULL,
    metadata   JSONB NOT NULL DEFAULT '{}'::JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (team_id, user_id)
);

-- name: api_keys
-- Only the SHA-256 of a key is kept; scopes may be any JSON.
CREATE TABLE IF NOT EXISTS api_keys (
    id         TEXT PRIMARY KEY,
    key_hash   TEXT NOT NULL UNIQUE,
    team_id    TEXT REFERENCES teams (id) ON DELETE CASCADE,
    project_id TEXT REFERENCES projects (id) ON DELETE CASCADE,
    actor_id   TEXT NOT NULL,
    scopes     JSONB NOT NULL DEFAULT '[]'::JSONB,
    revoked_at TIMESTAMPTZ,
    expires_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CHECK (project_id IS NULL OR team_id IS NOT NULL),
    FOREIGN KEY (project_id, team_id) REFERENCES projects (id, team_id) ON DELETE CASCADE
);

-- name: audit_log
-- Who did what; a row outlives its team, project and key, which is why its references become null.
CREATE TABLE IF NOT EXISTS audit_log (
    id            TEXT PRIMARY KEY,
    team_id       TEXT REFERENCES teams (id) ON DELETE SET NULL,
    project_id    TEXT REFERENCES projects (id) ON DELETE SET NULL,
    actor_id      TEXT,
    api_key_id    TEXT REFERENCES api_keys (id) ON DELETE SET NULL,
    action        TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id   TEXT,
    details       JSONB NOT NULL DEFAULT '{}'::JSONB,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    CHECK (project_id IS NULL OR team_id IS NOT NULL),
    FOREIGN KEY (project_id, team_id) REFERENCES projects (id, team_id) ON DELETE SET NULL
);

-- name: server_sessions
-- One agent session; its identities are made unique by the partial indexes below.
CREATE TABLE IF NOT EXISTS server_sessions (
    id                  TEXT PRIMARY KEY,
    project_id          TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    team_id             TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    external_session_id TEXT,
    idempotency_key     TEXT,
    content_session_id  TEXT,
    agent_id            TEXT,
    agent_type          TEXT,
    platform_source     TEXT,
    generation_status   TEXT NOT NULL DEFAULT 'idle',
    metadata            JSONB NOT NULL DEFAULT '{}'::JSONB,
    started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    ended_at            TIMESTAMPTZ,
    last_generated_at   TIMESTAMPTZ,
    created_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    FOREIGN KEY (project_id, team_id) REFERENCES projects (id, team_id) ON DELETE CASCADE
);

-- name: agent_events
-- What agents sent; the idempotency key makes a repeated delivery the same row.
CREATE TABLE IF NOT EXISTS agent_events (
    id                TEXT PRIMARY KEY,
    project_id        TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    team_id           TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    server_session_id TEXT REFERENCES server_sessions (id) ON DELETE SET NULL,
    source_adapter    TEXT NOT NULL,
    source_event_id   TEXT,
    idempotency_key   TEXT NOT NULL,
    event_type        TEXT NOT NULL,
    payload           JSONB NOT NULL,
    metadata          JSONB NOT NULL DEFAULT '{}'::JSONB,
    occurred_at       TIMESTAMPTZ NOT NULL,
    received_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    created_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
    platform_source   TEXT,
    UNIQUE (idempotency_key),
    UNIQUE (id, project_id, team_id),
    FOREIGN KEY (project_id, team_id) REFERENCES projects (id, team_id) ON DELETE CASCADE
);

-- name: observation_generation_jobs
-- The outbox. The last check ties each source type to the columns that name its source.
CREATE TABLE IF NOT EXISTS observation_generation_jobs (
    id                TEXT PRIMARY KEY,
    project_id        TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    team_id           TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    agent_event_id    TEXT REFERENCES agent_events (id) ON DELETE CASCADE,
    source_type       TEXT NOT NULL
        CHECK (source_type IN ('agent_event', 'session_summary', 'observation_reindex')),
    source_id         TEXT NOT NULL,
    server_session_id TEXT REFERENCES server_sessions (id) ON DELETE SET NULL,
    job_type          TEXT NOT NULL,
    status            TEXT NOT NULL
        CHECK (status IN ('queued', 'processing', 'completed', 'failed', 'cancelled')),
    idempotency_key   TEXT NOT NULL UNIQUE,
    bullmq_job_id     TEXT UNIQUE,
    attempts          INTEGER NOT NULL DEFAULT 0,
    max_attempts      INTEGER NOT NULL DEFAULT 3,
    next_attempt_at   TIMESTAMPTZ,
    locked_at         TIMESTAMPTZ,
    locked_by         TEXT,
    completed_at      TIMESTAMPTZ,
    failed_at         TIMESTAMPTZ,
    cancelled_at      TIMESTAMPTZ,
    last_error        JSONB,
    payload           JSONB NOT NULL DEFAULT '{}'::JSONB,
    created_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
    CHECK (
        (source_type = 'agent_event' AND agent_event_id IS NOT NULL AND source_id = agent_event_id)
        OR (source_type = 'session_summary' AND agent_event_id IS NULL
            AND server_session_id IS NOT NULL AND source_id = server_session_id)
        OR (source_type = 'observation_reindex' AND agent_event_id IS NULL)
    ),
    FOREIGN KEY (agent_event_id, project_id, team_id)
        REFERENCES agent_events (id, project_id, team_id) ON DELETE CASCADE,
    FOREIGN KEY (project_id, team_id) REFERENCES projects (id, team_id) ON DELETE CASCADE
);

-- name: observations
-- The memories. content_search is generated here and becomes a trigger's column in version 6.
CREATE TABLE IF NOT EXISTS observations (
    id                TEXT PRIMARY KEY,
    project_id        TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    team_id           TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    server_session_id TEXT REFERENCES server_sessions (id) ON DELETE SET NULL,
    kind              TEXT NOT NULL DEFAULT 'observation',
    content           TEXT NOT NULL,
    content_search    TSVECTOR GENERATED ALWAYS AS (to_tsvector('english', content)) STORED,
    generation_key    TEXT,
    metadata          JSONB NOT NULL DEFAULT '{}'::JSONB,
    embedding         JSONB,
    created_by_job_id TEXT REFERENCES observation_generation_jobs (id) ON DELETE SET NULL,
    created_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
    FOREIGN KEY (project_id, team_id) REFERENCES projects (id, team_id) ON DELETE CASCADE
);

-- name: observation_sources
-- What a memory was made from.
CREATE TABLE IF NOT EXISTS observation_sources (
    id                TEXT PRIMARY KEY,
    observation_id    TEXT NOT NULL REFERENCES observations (id) ON DELETE CASCADE,
    agent_event_id    TEXT REFERENCES agent_events (id) ON DELETE CASCADE,
    generation_job_id TEXT REFERENCES observation_generation_jobs (id) ON DELETE SET NULL,
    source_type       TEXT NOT NULL
        CHECK (source_type IN ('agent_event', 'session_summary', 'observation_reindex', 'manual')),
    source_id         TEXT NOT NULL,
    metadata          JSONB NOT NULL DEFAULT '{}'::JSONB,
    created_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE (observation_id, source_type, source_id),
    UNIQUE (source_type, source_id, generation_job_id, observation_id),
    CHECK (
        (source_type = 'agent_event' AND agent_event_id IS NOT NULL AND source_id = agent_event_id)
        OR (source_type <> 'agent_event' AND agent_event_id IS NULL)
    )
);

-- name: observation_generation_job_events
-- The history of each job.
CREATE TABLE IF NOT EXISTS observation_generation_job_events (
    id                TEXT PRIMARY KEY,
    generation_job_id TEXT NOT NULL REFERENCES observation_generation_jobs (id) ON DELETE CASCADE,
    event_type        TEXT NOT NULL CHECK (event_type IN (
        'queued', 'enqueued', 'processing', 'retry_scheduled', 'completed', 'failed', 'cancelled')),
    status_after      TEXT NOT NULL
        CHECK (status_after IN ('queued', 'processing', 'completed', 'failed', 'cancelled')),
    attempt           INTEGER NOT NULL DEFAULT 0,
    details           JSONB NOT NULL DEFAULT '{}'::JSONB,
    created_at        TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- name: usage_events
-- Append-only metering; kinds are open-ended.
CREATE TABLE IF NOT EXISTS usage_events (
    id         TEXT PRIMARY KEY,
    team_id    TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    project_id TEXT REFERENCES projects (id) ON DELETE SET NULL,
    kind       TEXT NOT NULL,
    quantity   BIGINT NOT NULL DEFAULT 1,
    metadata   JSONB NOT NULL DEFAULT '{}'::JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- name: rate_limit_counters
-- Fixed windows, one row per subject and window; the subject is an API key's id.
CREATE TABLE IF NOT EXISTS rate_limit_counters (
    subject_id   TEXT NOT NULL,
    window_start TIMESTAMPTZ NOT NULL,
    count        BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (subject_id, window_start)
);

-- name: idx_projects_team
-- Projects of a team.
CREATE INDEX IF NOT EXISTS idx_projects_team ON projects (team_id, id);

-- name: idx_audit_log_scope_created
-- A project's audit trail.
CREATE INDEX IF NOT EXISTS idx_audit_log_scope_created ON audit_log (project_id, team_id, created_at);

-- name: idx_server_sessions_project_idempotency
-- The same start of a session is the same row.
CREATE UNIQUE INDEX IF NOT EXISTS idx_server_sessions_project_idempotency
    ON server_sessions (project_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- name: idx_server_sessions_external_session_legacy
-- An external id without a platform is unique in its project.
CREATE UNIQUE INDEX IF NOT EXISTS idx_server_sessions_external_session_legacy
    ON server_sessions (project_id, external_session_id)
    WHERE external_session_id IS NOT NULL AND platform_source IS NULL;

-- name: idx_server_sessions_external_session_platform
-- With a platform it is unique for that platform.
CREATE UNIQUE INDEX IF NOT EXISTS idx_server_sessions_external_session_platform
    ON server_sessions (project_id, platform_source, external_session_id)
    WHERE external_session_id IS NOT NULL AND platform_source IS NOT NULL;

-- name: idx_server_sessions_platform_source
-- Sessions of one platform by time.
CREATE INDEX IF NOT EXISTS idx_server_sessions_platform_source
    ON server_sessions (team_id, project_id, platform_source, started_at) WHERE platform_source IS NOT NULL;

-- name: idx_server_sessions_content_session_platform
-- Ingest links an event to its session by content id.
CREATE INDEX IF NOT EXISTS idx_server_sessions_content_session_platform
    ON server_sessions (team_id, project_id, platform_source, content_session_id, started_at DESC)
    WHERE content_session_id IS NOT NULL;

-- name: idx_agent_events_project_session
-- A session's events in order.
CREATE INDEX IF NOT EXISTS idx_agent_events_project_session
    ON agent_events (project_id, server_session_id, occurred_at);

-- name: idx_agent_events_team_project
-- A project's events in order.
CREATE INDEX IF NOT EXISTS idx_agent_events_team_project ON agent_events (team_id, project_id, occurred_at);

-- name: idx_agent_events_platform_source
-- A platform's events in order.
CREATE INDEX IF NOT EXISTS idx_agent_events_platform_source
    ON agent_events (team_id, project_id, platform_source, occurred_at) WHERE platform_source IS NOT NULL;

-- name: idx_observation_jobs_source_scope
-- One job of a type per source.
CREATE UNIQUE INDEX IF NOT EXISTS idx_observation_jobs_source_scope
    ON observation_generation_jobs (team_id, project_id, source_type, source_id, job_type);

-- name: idx_observation_jobs_status_next_attempt
-- Jobs by status and time.
CREATE INDEX IF NOT EXISTS idx_observation_jobs_status_next_attempt
    ON observation_generation_jobs (status, next_attempt_at, created_at);

-- name: idx_observation_jobs_team_project
-- A project's jobs by status.
CREATE INDEX IF NOT EXISTS idx_observation_jobs_team_project
    ON observation_generation_jobs (team_id, project_id, status, created_at);

-- name: idx_observation_jobs_event
-- The job of an event, and the event's cascade.
CREATE INDEX IF NOT EXISTS idx_observation_jobs_event ON observation_generation_jobs (agent_event_id);

-- name: idx_observation_jobs_source
-- Jobs of a source.
CREATE INDEX IF NOT EXISTS idx_observation_jobs_source ON observation_generation_jobs (source_type, source_id);

-- name: idx_observations_generation_key_scope
-- A repeated generation is the same memory.
CREATE UNIQUE INDEX IF NOT EXISTS idx_observations_generation_key_scope
    ON observations (team_id, project_id, generation_key) WHERE generation_key IS NOT NULL;

-- name: idx_observations_content_search
-- Full-text search.
CREATE INDEX IF NOT EXISTS idx_observations_content_search ON observations USING gin (content_search);

-- name: idx_observations_project_session
-- A session's memories in order.
CREATE INDEX IF NOT EXISTS idx_observations_project_session
    ON observations (project_id, server_session_id, created_at);

-- name: idx_observations_team_project
-- A project's memories in order; also serves keyset pages, with a short sort inside equal times.
CREATE INDEX IF NOT EXISTS idx_observations_team_project ON observations (team_id, project_id, created_at);

-- name: idx_observation_sources_event
-- Memories of an event, and the event's cascade.
CREATE INDEX IF NOT EXISTS idx_observation_sources_event ON observation_sources (agent_event_id);

-- name: idx_observation_sources_source
-- Memories of a source.
CREATE INDEX IF NOT EXISTS idx_observation_sources_source ON observation_sources (source_type, source_id);

-- name: idx_observation_job_events_job_created
-- A job's history in order.
CREATE INDEX IF NOT EXISTS idx_observation_job_events_job_created
    ON observation_generation_job_events (generation_job_id, created_at);

-- name: idx_usage_events_team_created
-- A team's usage by time.
CREATE INDEX IF NOT EXISTS idx_usage_events_team_created ON usage_events (team_id, created_at);

-- name: idx_usage_events_team_kind_created
-- A team's usage of one kind by time.
CREATE INDEX IF NOT EXISTS idx_usage_events_team_kind_created ON usage_events (team_id, kind, created_at);

-- name: idx_rate_limit_counters_window
-- Old windows, for the clean-up.
CREATE INDEX IF NOT EXISTS idx_rate_limit_counters_window ON rate_limit_counters (window_start);

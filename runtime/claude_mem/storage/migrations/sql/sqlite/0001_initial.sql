-- description: claude-mem tables for SQLite
--
-- The PostgreSQL schema under the same names, with all that its later versions add. Ids are text, JSON is text,
-- and every time is an integer: microseconds since 1970-01-01 UTC. JSON is not checked with json_valid, because
-- SQLite refuses nesting beyond 1000 levels, which PostgreSQL stores.

-- name: server_beta_schema_migrations
-- Which versions are applied; the name is persisted in every claude-mem database.
CREATE TABLE server_beta_schema_migrations (
    version     INTEGER PRIMARY KEY,
    description TEXT NOT NULL,
    applied_at  INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER))
) STRICT;

-- name: teams
-- The outer tenant; names are labels and need not be unique.
CREATE TABLE teams (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,
    metadata   TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    updated_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER))
) STRICT;

-- name: projects
-- The inner tenant; the pair of ids is the target of every composite foreign key.
CREATE TABLE projects (
    id         TEXT NOT NULL PRIMARY KEY,
    team_id    TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    metadata   TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    updated_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    UNIQUE (id, team_id)
) STRICT;

-- name: team_members
-- People of a team; roles are checked by the program, not here.
CREATE TABLE team_members (
    team_id    TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    user_id    TEXT NOT NULL,
    role       TEXT NOT NULL,
    metadata   TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    updated_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    PRIMARY KEY (team_id, user_id)
) STRICT, WITHOUT ROWID;

-- name: api_keys
-- Only the SHA-256 of a key is kept; scopes may be any JSON. key_prefix holds the first characters of a key, for
-- people who look for one in a list; replaced_by is the id of the key that a rotation put in its place.
CREATE TABLE api_keys (
    id           TEXT NOT NULL PRIMARY KEY,
    key_hash     TEXT NOT NULL UNIQUE,
    team_id      TEXT REFERENCES teams (id) ON DELETE CASCADE,
    project_id   TEXT REFERENCES projects (id) ON DELETE CASCADE,
    actor_id     TEXT NOT NULL,
    scopes       TEXT NOT NULL DEFAULT '[]',
    revoked_at   INTEGER,
    expires_at   INTEGER,
    name         TEXT,
    key_prefix   TEXT,
    last_used_at INTEGER,
    replaced_by  TEXT,
    created_at   INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    updated_at   INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    CHECK (project_id IS NULL OR team_id IS NOT NULL),
    FOREIGN KEY (project_id, team_id) REFERENCES projects (id, team_id) ON DELETE CASCADE
) STRICT;

-- name: audit_log
-- Who did what; a row outlives its team, project and key, which is why its references become null. PostgreSQL
-- also checks that a project comes with a team; SQLite clears the two in an order that would break the check.
CREATE TABLE audit_log (
    id            TEXT NOT NULL PRIMARY KEY,
    team_id       TEXT REFERENCES teams (id) ON DELETE SET NULL,
    project_id    TEXT REFERENCES projects (id) ON DELETE SET NULL,
    actor_id      TEXT,
    api_key_id    TEXT REFERENCES api_keys (id) ON DELETE SET NULL,
    action        TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id   TEXT,
    details       TEXT NOT NULL DEFAULT '{}',
    created_at    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    FOREIGN KEY (project_id, team_id) REFERENCES projects (id, team_id) ON DELETE SET NULL
) STRICT;

-- name: server_sessions
-- One agent session; its identities are made unique by the partial indexes below.
CREATE TABLE server_sessions (
    id                  TEXT NOT NULL PRIMARY KEY,
    project_id          TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    team_id             TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    external_session_id TEXT,
    idempotency_key     TEXT,
    content_session_id  TEXT,
    agent_id            TEXT,
    agent_type          TEXT,
    platform_source     TEXT,
    generation_status   TEXT NOT NULL DEFAULT 'idle',
    metadata            TEXT NOT NULL DEFAULT '{}',
    started_at          INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    ended_at            INTEGER,
    last_generated_at   INTEGER,
    created_at          INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    updated_at          INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    FOREIGN KEY (project_id, team_id) REFERENCES projects (id, team_id) ON DELETE CASCADE
) STRICT;

-- name: agent_events
-- What agents sent; the idempotency key makes a repeated delivery the same row.
CREATE TABLE agent_events (
    id                TEXT NOT NULL PRIMARY KEY,
    project_id        TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    team_id           TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    server_session_id TEXT REFERENCES server_sessions (id) ON DELETE SET NULL,
    source_adapter    TEXT NOT NULL,
    source_event_id   TEXT,
    idempotency_key   TEXT NOT NULL,
    event_type        TEXT NOT NULL,
    payload           TEXT NOT NULL,
    metadata          TEXT NOT NULL DEFAULT '{}',
    occurred_at       INTEGER NOT NULL,
    received_at       INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    created_at        INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    platform_source   TEXT,
    UNIQUE (idempotency_key),
    UNIQUE (id, project_id, team_id),
    FOREIGN KEY (project_id, team_id) REFERENCES projects (id, team_id) ON DELETE CASCADE
) STRICT;

-- name: observation_generation_jobs
-- The outbox. The last check ties each source type to the columns that name its source.
CREATE TABLE observation_generation_jobs (
    id                TEXT NOT NULL PRIMARY KEY,
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
    next_attempt_at   INTEGER,
    locked_at         INTEGER,
    locked_by         TEXT,
    lease_expires_at  INTEGER,
    completed_at      INTEGER,
    failed_at         INTEGER,
    cancelled_at      INTEGER,
    last_error        TEXT,
    payload           TEXT NOT NULL DEFAULT '{}',
    created_at        INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    updated_at        INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    CHECK (
        (source_type = 'agent_event' AND agent_event_id IS NOT NULL AND source_id = agent_event_id)
        OR (source_type = 'session_summary' AND agent_event_id IS NULL
            AND server_session_id IS NOT NULL AND source_id = server_session_id)
        OR (source_type = 'observation_reindex' AND agent_event_id IS NULL)
    ),
    FOREIGN KEY (agent_event_id, project_id, team_id)
        REFERENCES agent_events (id, project_id, team_id) ON DELETE CASCADE,
    FOREIGN KEY (project_id, team_id) REFERENCES projects (id, team_id) ON DELETE CASCADE
) STRICT;

-- name: observations
-- The memories. search_row ties a memory to its full-text entry: an implicit rowid may change in a VACUUM.
CREATE TABLE observations (
    search_row        INTEGER PRIMARY KEY,
    id                TEXT NOT NULL UNIQUE,
    project_id        TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    team_id           TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    server_session_id TEXT REFERENCES server_sessions (id) ON DELETE SET NULL,
    kind              TEXT NOT NULL DEFAULT 'observation',
    content           TEXT NOT NULL,
    generation_key    TEXT,
    metadata          TEXT NOT NULL DEFAULT '{}',
    embedding         TEXT,
    created_by_job_id TEXT REFERENCES observation_generation_jobs (id) ON DELETE SET NULL,
    created_at        INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    updated_at        INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    FOREIGN KEY (project_id, team_id) REFERENCES projects (id, team_id) ON DELETE CASCADE
) STRICT;

-- name: observation_sources
-- What a memory was made from.
CREATE TABLE observation_sources (
    id                TEXT NOT NULL PRIMARY KEY,
    observation_id    TEXT NOT NULL REFERENCES observations (id) ON DELETE CASCADE,
    agent_event_id    TEXT REFERENCES agent_events (id) ON DELETE CASCADE,
    generation_job_id TEXT REFERENCES observation_generation_jobs (id) ON DELETE SET NULL,
    source_type       TEXT NOT NULL
        CHECK (source_type IN ('agent_event', 'session_summary', 'observation_reindex', 'manual')),
    source_id         TEXT NOT NULL,
    metadata          TEXT NOT NULL DEFAULT '{}',
    created_at        INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    UNIQUE (observation_id, source_type, source_id),
    UNIQUE (source_type, source_id, generation_job_id, observation_id),
    CHECK (
        (source_type = 'agent_event' AND agent_event_id IS NOT NULL AND source_id = agent_event_id)
        OR (source_type <> 'agent_event' AND agent_event_id IS NULL)
    )
) STRICT;

-- name: observation_generation_job_events
-- The history of each job.
CREATE TABLE observation_generation_job_events (
    id                TEXT NOT NULL PRIMARY KEY,
    generation_job_id TEXT NOT NULL REFERENCES observation_generation_jobs (id) ON DELETE CASCADE,
    event_type        TEXT NOT NULL CHECK (event_type IN (
        'queued', 'enqueued', 'processing', 'retry_scheduled', 'completed', 'failed', 'cancelled')),
    status_after      TEXT NOT NULL
        CHECK (status_after IN ('queued', 'processing', 'completed', 'failed', 'cancelled')),
    attempt           INTEGER NOT NULL DEFAULT 0,
    details           TEXT NOT NULL DEFAULT '{}',
    created_at        INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER))
) STRICT;

-- name: usage_events
-- Append-only metering; kinds are open-ended.
CREATE TABLE usage_events (
    id         TEXT NOT NULL PRIMARY KEY,
    team_id    TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    project_id TEXT REFERENCES projects (id) ON DELETE SET NULL,
    kind       TEXT NOT NULL,
    quantity   INTEGER NOT NULL DEFAULT 1,
    metadata   TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER))
) STRICT;

-- name: rate_limit_counters
-- Fixed windows, one row per subject and window; the subject is an API key's id.
CREATE TABLE rate_limit_counters (
    subject_id   TEXT NOT NULL,
    window_start INTEGER NOT NULL,
    count        INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (subject_id, window_start)
) STRICT, WITHOUT ROWID;

-- name: idx_projects_team
-- Projects of a team.
CREATE INDEX idx_projects_team ON projects (team_id, id);

-- name: idx_audit_log_scope_created
-- A project's audit trail.
CREATE INDEX idx_audit_log_scope_created ON audit_log (project_id, team_id, created_at);

-- name: idx_server_sessions_project_idempotency
-- The same start of a session is the same row.
CREATE UNIQUE INDEX idx_server_sessions_project_idempotency
    ON server_sessions (project_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- name: idx_server_sessions_external_session_legacy
-- An external id without a platform is unique in its project.
CREATE UNIQUE INDEX idx_server_sessions_external_session_legacy
    ON server_sessions (project_id, external_session_id)
    WHERE external_session_id IS NOT NULL AND platform_source IS NULL;

-- name: idx_server_sessions_external_session_platform
-- With a platform it is unique for that platform.
CREATE UNIQUE INDEX idx_server_sessions_external_session_platform
    ON server_sessions (project_id, platform_source, external_session_id)
    WHERE external_session_id IS NOT NULL AND platform_source IS NOT NULL;

-- name: idx_server_sessions_platform_source
-- Sessions of one platform by time.
CREATE INDEX idx_server_sessions_platform_source
    ON server_sessions (team_id, project_id, platform_source, started_at) WHERE platform_source IS NOT NULL;

-- name: idx_server_sessions_content_session_platform
-- Ingest links an event to its session by content id.
CREATE INDEX idx_server_sessions_content_session_platform
    ON server_sessions (team_id, project_id, platform_source, content_session_id, started_at DESC)
    WHERE content_session_id IS NOT NULL;

-- name: idx_agent_events_project_session
-- A session's events in order.
CREATE INDEX idx_agent_events_project_session
    ON agent_events (project_id, server_session_id, occurred_at);

-- name: idx_agent_events_team_project
-- A project's events in order.
CREATE INDEX idx_agent_events_team_project ON agent_events (team_id, project_id, occurred_at);

-- name: idx_agent_events_platform_source
-- A platform's events in order.
CREATE INDEX idx_agent_events_platform_source
    ON agent_events (team_id, project_id, platform_source, occurred_at) WHERE platform_source IS NOT NULL;

-- name: idx_observation_jobs_source_scope
-- One job of a type per source.
CREATE UNIQUE INDEX idx_observation_jobs_source_scope
    ON observation_generation_jobs (team_id, project_id, source_type, source_id, job_type);

-- name: idx_observation_jobs_team_project
-- A project's jobs by status.
CREATE INDEX idx_observation_jobs_team_project
    ON observation_generation_jobs (team_id, project_id, status, created_at);

-- name: idx_observation_jobs_event
-- The job of an event, and the event's cascade.
CREATE INDEX idx_observation_jobs_event ON observation_generation_jobs (agent_event_id);

-- name: idx_observation_jobs_source
-- Jobs of a source.
CREATE INDEX idx_observation_jobs_source ON observation_generation_jobs (source_type, source_id);

-- name: idx_observations_generation_key_scope
-- A repeated generation is the same memory.
CREATE UNIQUE INDEX idx_observations_generation_key_scope
    ON observations (team_id, project_id, generation_key) WHERE generation_key IS NOT NULL;

-- name: idx_observations_project_session
-- A session's memories in order.
CREATE INDEX idx_observations_project_session
    ON observations (project_id, server_session_id, created_at);

-- name: idx_observations_team_project
-- A project's memories in order.
CREATE INDEX idx_observations_team_project ON observations (team_id, project_id, created_at, id);

-- name: idx_observation_sources_event
-- Memories of an event, and the event's cascade.
CREATE INDEX idx_observation_sources_event ON observation_sources (agent_event_id);

-- name: idx_observation_sources_source
-- Memories of a source.
CREATE INDEX idx_observation_sources_source ON observation_sources (source_type, source_id);

-- name: idx_observation_job_events_job_created
-- A job's history in order.
CREATE INDEX idx_observation_job_events_job_created
    ON observation_generation_job_events (generation_job_id, created_at);

-- name: idx_usage_events_team_created
-- A team's usage by time.
CREATE INDEX idx_usage_events_team_created ON usage_events (team_id, created_at);

-- name: idx_usage_events_team_kind_created
-- A team's usage of one kind by time.
CREATE INDEX idx_usage_events_team_kind_created ON usage_events (team_id, kind, created_at);

-- name: idx_rate_limit_counters_window
-- Old windows, for the clean-up.
CREATE INDEX idx_rate_limit_counters_window ON rate_limit_counters (window_start);

-- name: idx_observation_jobs_due
-- The relay's question: what is due, oldest first. Holds only what is queued, so it stays small.
CREATE INDEX idx_observation_jobs_due
    ON observation_generation_jobs (coalesce(next_attempt_at, created_at), id) WHERE status = 'queued';

-- name: idx_observation_jobs_leased
-- The reaper's question: whose lease ran out. Holds only what is being processed.
CREATE INDEX idx_observation_jobs_leased
    ON observation_generation_jobs (lease_expires_at) WHERE status = 'processing';

-- name: idx_observation_jobs_team_created
-- A team's jobs page by page, newest first.
CREATE INDEX idx_observation_jobs_team_created
    ON observation_generation_jobs (team_id, created_at DESC, id DESC);

-- name: idx_audit_log_team_created
-- A team's audit trail page by page, newest first.
CREATE INDEX idx_audit_log_team_created
    ON audit_log (team_id, created_at DESC, id DESC);

-- name: idx_server_sessions_team_project_started
-- A project's sessions page by page, and their purge; claude-mem 13 has only partial indexes for these.
CREATE INDEX idx_server_sessions_team_project_started
    ON server_sessions (team_id, project_id, started_at DESC, id DESC);

-- name: idx_agent_events_session
-- Deleting a session looks here for its events; without it each one reads the whole table.
CREATE INDEX idx_agent_events_session
    ON agent_events (server_session_id) WHERE server_session_id IS NOT NULL;

-- name: idx_observation_jobs_session
-- The same for its jobs.
CREATE INDEX idx_observation_jobs_session
    ON observation_generation_jobs (server_session_id) WHERE server_session_id IS NOT NULL;

-- name: idx_observations_session
-- The same for its memories.
CREATE INDEX idx_observations_session
    ON observations (server_session_id) WHERE server_session_id IS NOT NULL;

-- name: idx_observations_job
-- Deleting a job looks here for the memories it made.
CREATE INDEX idx_observations_job
    ON observations (created_by_job_id) WHERE created_by_job_id IS NOT NULL;

-- name: idx_observation_sources_job
-- And here for their sources.
CREATE INDEX idx_observation_sources_job
    ON observation_sources (generation_job_id) WHERE generation_job_id IS NOT NULL;

-- name: usage_counters
-- Monthly sums of usage_events; period_start is the first instant of a month in UTC.
CREATE TABLE usage_counters (
    team_id      TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    period_start INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    quantity     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (team_id, period_start, kind)
) STRICT, WITHOUT ROWID;

-- name: usage_events_added
-- Triggers keep the counters, so it does not matter who writes usage.
CREATE TRIGGER usage_events_added AFTER INSERT ON usage_events BEGIN
    INSERT INTO usage_counters (team_id, period_start, kind, quantity)
    VALUES (
        new.team_id,
        CAST(strftime('%s', new.created_at / 1000000, 'unixepoch', 'start of month') AS INTEGER) * 1000000,
        new.kind,
        new.quantity
    )
    ON CONFLICT (team_id, period_start, kind) DO UPDATE SET quantity = quantity + excluded.quantity;
END;

-- name: usage_events_removed
-- Never inserts: when a team goes, its counters may have gone first.
CREATE TRIGGER usage_events_removed AFTER DELETE ON usage_events BEGIN
    UPDATE usage_counters SET quantity = quantity - old.quantity
    WHERE team_id = old.team_id AND kind = old.kind
      AND period_start =
          CAST(strftime('%s', old.created_at / 1000000, 'unixepoch', 'start of month') AS INTEGER) * 1000000;
END;

-- name: usage_events_changed
-- A changed row leaves its old counter and enters the new one; the cascade that clears project_id changes neither.
CREATE TRIGGER usage_events_changed AFTER UPDATE OF team_id, kind, quantity, created_at ON usage_events BEGIN
    UPDATE usage_counters SET quantity = quantity - old.quantity
    WHERE team_id = old.team_id AND kind = old.kind
      AND period_start =
          CAST(strftime('%s', old.created_at / 1000000, 'unixepoch', 'start of month') AS INTEGER) * 1000000;
    INSERT INTO usage_counters (team_id, period_start, kind, quantity)
    VALUES (
        new.team_id,
        CAST(strftime('%s', new.created_at / 1000000, 'unixepoch', 'start of month') AS INTEGER) * 1000000,
        new.kind,
        new.quantity
    )
    ON CONFLICT (team_id, period_start, kind) DO UPDATE SET quantity = quantity + excluded.quantity;
END;

-- name: observations_search
-- What is searched of a memory. Lists stay JSON text, whose punctuation the tokenizer drops. Metadata that SQLite
-- cannot read as JSON is not searched, and does not fail the write.
CREATE VIEW observations_search AS
SELECT search_row, content,
       CASE WHEN json_valid(metadata) THEN json_extract(metadata, '$.title') END AS title,
       CASE WHEN json_valid(metadata) THEN json_extract(metadata, '$.concepts') END AS concepts,
       CASE WHEN json_valid(metadata)
            THEN coalesce(json_extract(metadata, '$.files_read'), '') || ' '
                 || coalesce(json_extract(metadata, '$.files_modified'), '') END AS files
FROM observations;

-- name: observations_fts
-- Holds only the index; the text is read from the view. Written by the triggers below and by nobody else.
CREATE VIRTUAL TABLE observations_fts USING fts5 (
    content, title, concepts, files,
    content = 'observations_search', content_rowid = 'search_row', tokenize = 'porter unicode61'
);

-- name: observations_fts_added
-- A new memory.
CREATE TRIGGER observations_fts_added AFTER INSERT ON observations BEGIN
    INSERT INTO observations_fts (rowid, content, title, concepts, files)
    SELECT search_row, content, title, concepts, files FROM observations_search
    WHERE search_row = new.search_row;
END;

-- name: observations_fts_removed
-- Before, because the index must be told exactly the text that it holds. REPLACE would skip this trigger.
CREATE TRIGGER observations_fts_removed BEFORE DELETE ON observations BEGIN
    INSERT INTO observations_fts (observations_fts, rowid, content, title, concepts, files)
    SELECT 'delete', search_row, content, title, concepts, files FROM observations_search
    WHERE search_row = old.search_row;
END;

-- name: observations_fts_changing
-- An edit removes the old text here and adds the new text below.
CREATE TRIGGER observations_fts_changing BEFORE UPDATE OF content, metadata ON observations BEGIN
    INSERT INTO observations_fts (observations_fts, rowid, content, title, concepts, files)
    SELECT 'delete', search_row, content, title, concepts, files FROM observations_search
    WHERE search_row = old.search_row;
END;

-- name: observations_fts_changed
-- The second half of an edit.
CREATE TRIGGER observations_fts_changed AFTER UPDATE OF content, metadata ON observations BEGIN
    INSERT INTO observations_fts (rowid, content, title, concepts, files)
    SELECT search_row, content, title, concepts, files FROM observations_search
    WHERE search_row = new.search_row;
END;

-- description: what later releases of claude-mem 13 added to version 1
-- transaction: none
--
-- claude-mem 13 never raised its version: each release widened version 1 and ran it at every start. A database
-- last started by an early 13.x lacks the later parts; here they are added. On a complete database, a fresh
-- one included, every statement finds its work done and takes no lock that traffic would notice.

-- name: usage_events
-- Metering came later than the first 13.x.
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
-- So did rate limits.
CREATE TABLE IF NOT EXISTS rate_limit_counters (
    subject_id   TEXT NOT NULL,
    window_start TIMESTAMPTZ NOT NULL,
    count        BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (subject_id, window_start)
);

-- name: server_sessions_idempotency_key
-- The catalog is asked first: ALTER ... IF NOT EXISTS would lock the table even with nothing to do.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = 'server_sessions'::regclass AND attname = 'idempotency_key' AND NOT attisdropped
    ) THEN
        ALTER TABLE server_sessions ADD COLUMN idempotency_key TEXT;
    END IF;
END
$$;

-- name: agent_events_platform_source
-- Events carried no platform at first.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = 'agent_events'::regclass AND attname = 'platform_source' AND NOT attisdropped
    ) THEN
        ALTER TABLE agent_events ADD COLUMN platform_source TEXT;
    END IF;
END
$$;

-- name: idx_usage_events_team_created
-- With its table.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_usage_events_team_created ON usage_events (team_id, created_at);

-- name: idx_usage_events_team_kind_created
-- With its table.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_usage_events_team_kind_created
    ON usage_events (team_id, kind, created_at);

-- name: idx_rate_limit_counters_window
-- With its table.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_rate_limit_counters_window ON rate_limit_counters (window_start);

-- name: idx_agent_events_platform_source
-- With its column.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_agent_events_platform_source
    ON agent_events (team_id, project_id, platform_source, occurred_at) WHERE platform_source IS NOT NULL;

-- name: idx_server_sessions_platform_source
-- Sessions of one platform by time.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_server_sessions_platform_source
    ON server_sessions (team_id, project_id, platform_source, started_at) WHERE platform_source IS NOT NULL;

-- name: idx_server_sessions_content_session_platform
-- Ingest links an event to its session by content id.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_server_sessions_content_session_platform
    ON server_sessions (team_id, project_id, platform_source, content_session_id, started_at DESC)
    WHERE content_session_id IS NOT NULL;

-- name: idx_server_sessions_project_idempotency
-- The same start of a session is the same row.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS idx_server_sessions_project_idempotency
    ON server_sessions (project_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- name: idx_server_sessions_external_session_legacy
-- Cannot fail on duplicates: the stricter constraint dropped below forbade them.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS idx_server_sessions_external_session_legacy
    ON server_sessions (project_id, external_session_id)
    WHERE external_session_id IS NOT NULL AND platform_source IS NULL;

-- name: idx_server_sessions_external_session_platform
-- The other half of the same identity.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS idx_server_sessions_external_session_platform
    ON server_sessions (project_id, platform_source, external_session_id)
    WHERE external_session_id IS NOT NULL AND platform_source IS NOT NULL;

-- name: drop_server_sessions_external_unique
-- It refused the same external id on a second platform; its successors are in place by now.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_constraint
        WHERE conrelid = 'server_sessions'::regclass
          AND conname = 'server_sessions_project_id_external_session_id_key'
    ) THEN
        ALTER TABLE server_sessions DROP CONSTRAINT server_sessions_project_id_external_session_id_key;
    END IF;
END
$$;

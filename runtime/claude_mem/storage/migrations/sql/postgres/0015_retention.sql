-- description: rules for what is forgotten with time

-- name: retention_rules
-- `kinds` is a JSON array of texts; null is every kind. While `locked_until` is ahead somebody carries the rule out.
CREATE TABLE IF NOT EXISTS retention_rules (
    id             TEXT PRIMARY KEY,
    team_id        TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    project_id     TEXT REFERENCES projects (id) ON DELETE CASCADE,
    subject        TEXT NOT NULL,
    kinds          TEXT,
    max_age_days   INTEGER,
    keep_last      INTEGER,
    keep_summaries BOOLEAN NOT NULL DEFAULT FALSE,
    next_run_at    TIMESTAMPTZ NOT NULL,
    locked_until   TIMESTAMPTZ,
    last_run_at    TIMESTAMPTZ,
    last_removed   BIGINT NOT NULL DEFAULT 0,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- name: idx_retention_rules_team
-- A team's rules are listed, and go with the team.
CREATE INDEX IF NOT EXISTS idx_retention_rules_team ON retention_rules (team_id);

-- name: idx_retention_rules_project
-- A project's rules go with the project; most rules are of a team.
CREATE INDEX IF NOT EXISTS idx_retention_rules_project ON retention_rules (project_id) WHERE project_id IS NOT NULL;

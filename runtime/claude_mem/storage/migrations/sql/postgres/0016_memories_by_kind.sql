-- description: an index for lists of memories of one kind
-- transaction: none
--
-- Built concurrently, so that nobody waits for it.

-- name: idx_observations_team_project_kind
-- A project's memories of one kind in order; without it a list of a rare kind reads the whole project. The id is left out, which
-- halves the index, because equal times can share an entry; a page sorts within them. A kind is free text, so only what always fits an
-- entry is in it, which lists ask for besides.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_observations_team_project_kind
    ON observations (team_id, project_id, left(kind, 128), created_at);

-- name: statistics_of_kinds
-- How kinds begin has no statistics before somebody looks; until then a list of a common kind would be planned as that of a rare one.
-- Whoever has the table, for hours perhaps, is not waited for: the server looks as well, when much was written.
ANALYZE (SKIP_LOCKED) observations;

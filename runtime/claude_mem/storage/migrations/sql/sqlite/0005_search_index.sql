-- description: a search index with statistics of each project
--
-- As versions 11 and 12 on PostgreSQL, where each part is explained. FTS5 goes: its statistics are those of the whole
-- table, so that one project's words would weigh in another's.

-- name: observations_fts_added
-- The old index and its triggers.
DROP TRIGGER observations_fts_added;

-- name: observations_fts_removed
-- As above.
DROP TRIGGER observations_fts_removed;

-- name: observations_fts_changing
-- As above.
DROP TRIGGER observations_fts_changing;

-- name: observations_fts_changed
-- As above.
DROP TRIGGER observations_fts_changed;

-- name: observations_fts
-- The table with what belongs to it.
DROP TABLE observations_fts;

-- name: observations_search
-- What it was filled from.
DROP VIEW observations_search;

-- name: search_segments
-- Memories of one project; never changed, but for the list of those that are no more.
CREATE TABLE search_segments (
    id         INTEGER PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    documents  INTEGER NOT NULL,
    revision   INTEGER NOT NULL DEFAULT 0,
    deleted    BLOB NOT NULL DEFAULT x'',
    ids        BLOB NOT NULL,
    lengths    BLOB NOT NULL,
    times      BLOB NOT NULL
) STRICT;

-- name: idx_search_segments_project
-- The segments of a project.
CREATE INDEX idx_search_segments_project ON search_segments (project_id);

-- name: search_blocks
-- The terms of a segment with the documents that hold them, in blocks sorted by term.
CREATE TABLE search_blocks (
    segment_id INTEGER NOT NULL REFERENCES search_segments (id) ON DELETE CASCADE,
    first_term TEXT NOT NULL,
    data       BLOB NOT NULL,
    PRIMARY KEY (segment_id, first_term)
) STRICT, WITHOUT ROWID;

-- name: search_changes
-- Memories that were written, changed or removed and are not yet in the index.
CREATE TABLE search_changes (
    project_id     TEXT NOT NULL,
    number         INTEGER PRIMARY KEY AUTOINCREMENT,
    observation_id TEXT NOT NULL,
    operation      TEXT NOT NULL
) STRICT;

-- name: idx_search_changes_project
-- Those of a project in order.
CREATE INDEX idx_search_changes_project ON search_changes (project_id, number);

-- name: observations_search_added
-- New memories.
CREATE TRIGGER observations_search_added AFTER INSERT ON observations BEGIN
    INSERT INTO search_changes (project_id, observation_id, operation) VALUES (new.project_id, new.id, 'I');
END;

-- name: observations_search_removed
-- Deletions, purges and cascades. REPLACE would skip this trigger.
CREATE TRIGGER observations_search_removed AFTER DELETE ON observations BEGIN
    INSERT INTO search_changes (project_id, observation_id, operation) VALUES (old.project_id, old.id, 'D');
END;

-- name: observations_search_changed
-- What is searched of a memory, and the times that order it.
CREATE TRIGGER observations_search_changed
AFTER UPDATE OF id, project_id, content, metadata, created_at, updated_at ON observations
WHEN (old.id, old.project_id, old.content, old.metadata, old.created_at, old.updated_at)
     IS NOT (new.id, new.project_id, new.content, new.metadata, new.created_at, new.updated_at)
BEGIN
    INSERT INTO search_changes (project_id, observation_id, operation)
    SELECT old.project_id, old.id, 'D' WHERE (old.project_id, old.id) <> (new.project_id, new.id)
    UNION ALL
    SELECT new.project_id, new.id, 'U';
END;

-- name: backfill
-- Every memory there is, oldest first.
INSERT INTO search_changes (project_id, observation_id, operation)
SELECT project_id, id, 'I' FROM observations ORDER BY created_at;

-- description: the search index's own tables
--
-- An index in segments: each holds some memories of one project and is never changed, but for the list of those that
-- are no more. Whoever folds changes into the index (see version 12) writes them; nothing else does.

-- name: search_segments
-- documents are numbered from 0; ids, lengths and times are packed columns in that order, deleted is a list of
-- numbers. revision grows with each deletion. Ids of segments are random: a copy of a segment in memory stays right even
-- when a backup is restored under a running server.
CREATE TABLE search_segments (
    id         BIGINT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    documents  INTEGER NOT NULL,
    revision   INTEGER NOT NULL DEFAULT 0,
    deleted    BYTEA NOT NULL DEFAULT '',
    ids        BYTEA NOT NULL,
    lengths    BYTEA NOT NULL,
    times      BYTEA NOT NULL
);

-- name: idx_search_segments_project
-- The segments of a project, for each search and for the project's cascade.
CREATE INDEX idx_search_segments_project ON search_segments (project_id);

-- name: search_blocks
-- The terms of a segment with the documents that hold them, in blocks sorted by term. Terms compare by bytes.
CREATE TABLE search_blocks (
    segment_id BIGINT NOT NULL REFERENCES search_segments (id) ON DELETE CASCADE,
    first_term TEXT COLLATE "C" NOT NULL,
    data       BYTEA NOT NULL,
    PRIMARY KEY (segment_id, first_term)
);

-- name: search_segments_storage
-- Packed numbers hardly compress, and unpacking them would be part of every search.
ALTER TABLE search_segments
    ALTER COLUMN deleted SET STORAGE EXTERNAL, ALTER COLUMN ids SET STORAGE EXTERNAL,
    ALTER COLUMN lengths SET STORAGE EXTERNAL, ALTER COLUMN times SET STORAGE EXTERNAL;

-- name: search_blocks_storage
-- The same for blocks.
ALTER TABLE search_blocks ALTER COLUMN data SET STORAGE EXTERNAL;

-- name: search_changes
-- Memories that were written, changed or removed and are not yet in the index; a search reads them besides. Without
-- foreign keys: the rows of a deleted project must be able to leave one by one. Rows come and go all the time, so the
-- table is vacuumed by their number and not by its size.
CREATE TABLE search_changes (
    project_id     TEXT NOT NULL,
    number         BIGINT GENERATED ALWAYS AS IDENTITY,
    observation_id TEXT NOT NULL,
    operation      TEXT NOT NULL,
    PRIMARY KEY (project_id, number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- name: search.lock
-- One process at a time folds a project; the others have nothing to do meanwhile.
SELECT pg_try_advisory_xact_lock(hashtextextended('claude-mem search ' || :project_id, 0)) AS mine;

-- name: search.lock_project
-- Before any segment is locked, as in the cascade of a deleted project.
SELECT id FROM projects WHERE id = :project_id FOR KEY SHARE;

-- name: search.sweep
-- Changes come and go by thousands, and each search would pass those that went until autovacuum has its turn.
VACUUM (SKIP_LOCKED) search_changes;

-- name: search.columns
SELECT id, ids, lengths, times FROM search_segments WHERE id = ANY(:ids::bigint[]);

-- name: search.deletions
SELECT id, revision, deleted FROM search_segments WHERE id = ANY(:ids::bigint[]);

-- name: search.blocks
-- For each wanted term of a segment the block in which it stands, if the segment has it. A segment's first block begins with
-- the empty text, so a pair without an answer means that the segment is no more.
SELECT wanted.segment_id, wanted.term, block.data
FROM unnest(:segment_ids::bigint[], :terms::text[]) AS wanted (segment_id, term)
CROSS JOIN LATERAL (
    SELECT data FROM search_blocks AS b WHERE b.segment_id = wanted.segment_id AND b.first_term <= wanted.term
    ORDER BY b.first_term DESC LIMIT 1
) AS block;

-- name: search.prefix_blocks
-- The blocks in which terms between two texts may stand: the one that begins before them, and those that begin among them.
SELECT b.segment_id, b.data FROM search_blocks AS b
WHERE b.segment_id = ANY(:segment_ids::bigint[]) AND b.first_term < :until
  AND b.first_term >= (SELECT max(first_term) FROM search_blocks AS before
                       WHERE before.segment_id = b.segment_id AND before.first_term <= :since)
ORDER BY b.segment_id, b.first_term LIMIT :limit;

-- name: search.insert_blocks
INSERT INTO search_blocks (segment_id, first_term, data)
SELECT :segment_id::bigint, * FROM unnest(:first_term::text[], :data::bytea[]);

-- name: search.drop_segments
-- Only from the revisions that were read, and all or none: the caller counts.
DELETE FROM search_segments AS s USING unnest(:ids::bigint[], :revisions::int[]) AS known (id, revision)
WHERE s.id = known.id AND s.revision = known.revision;

-- name: search.documents
-- Found by their ids whatever the planner believes of the project: it is asked right after much was written.
WITH named AS MATERIALIZED (SELECT * FROM observations WHERE id = ANY(:ids::text[]))
SELECT id, content, metadata, created_at, updated_at FROM named WHERE project_id = :project_id;

-- name: search.matching_changes
-- Of changes too many to be read, the newest that the coarser index of claude-mem 13 finds.
SELECT o.id FROM observations AS o
WHERE o.project_id = :project_id AND o.id IN (SELECT observation_id FROM search_changes WHERE project_id = :project_id)
  AND o.content_search @@ (SELECT string_agg(nullif(plainto_tsquery('english', word)::text, ''), ' | ')::tsquery
                           FROM unnest(:words::text[] || :stems::text[]) AS word)
ORDER BY o.created_at DESC LIMIT :limit;

-- name: search.rows
-- The memories of these ids that pass the filters; filters that are null do not apply. The platform filter keeps what came
-- from a session of that platform or, without a session, from an event of it.
WITH named AS MATERIALIZED (SELECT * FROM observations WHERE id = ANY(:ids::text[]))
SELECT o.id, o.project_id, o.team_id, o.server_session_id, o.kind, o.content, o.metadata, o.created_at, o.updated_at,
       o.generation_key, o.created_by_job_id
FROM named AS o LEFT JOIN server_sessions AS session ON session.id = o.server_session_id
WHERE o.team_id = :team_id AND o.project_id = :project_id
  AND (:platform_source::text IS NULL
       OR session.platform_source = :platform_source
       OR ((session.id IS NULL OR session.platform_source IS NULL)
           AND EXISTS (SELECT FROM observation_sources AS s JOIN agent_events AS e ON e.id = s.agent_event_id
                       WHERE s.observation_id = o.id AND e.platform_source = :platform_source)))
  AND (:kinds::text[] IS NULL OR o.kind = ANY(:kinds))
  AND (:server_session_id::text IS NULL OR o.server_session_id = :server_session_id)
  AND (:since::timestamptz IS NULL OR o.created_at >= :since)
  AND (:until::timestamptz IS NULL OR o.created_at < :until);

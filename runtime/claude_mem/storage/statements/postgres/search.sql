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
-- The blocks in which terms between two texts may stand: the one that begins before them, and those that begin among them;
-- of each segment the first, so that a large one leaves room for the others.
SELECT wanted.segment_id, block.data
FROM unnest(:segment_ids::bigint[]) AS wanted (segment_id)
CROSS JOIN LATERAL (
    SELECT b.first_term, b.data FROM search_blocks AS b
    WHERE b.segment_id = wanted.segment_id AND b.first_term < :until
      AND b.first_term >= (SELECT max(first_term) FROM search_blocks AS before
                           WHERE before.segment_id = wanted.segment_id AND before.first_term <= :since)
    ORDER BY b.first_term LIMIT :limit
) AS block
ORDER BY wanted.segment_id, block.first_term;

-- name: search.block_bytes
SELECT segment_id, sum(octet_length(data)) AS size FROM search_blocks WHERE segment_id = ANY(:ids::bigint[]) GROUP BY segment_id;

-- name: search.insert_blocks
INSERT INTO search_blocks (segment_id, first_term, data)
SELECT :segment_id::bigint, * FROM unnest(:first_term::text[], :data::bytea[]);

-- name: search.drop_segments
-- Only from the revisions that were read, and all or none: the caller counts.
DELETE FROM search_segments AS s USING unnest(:ids::bigint[], :revisions::int[]) AS known (id, revision)
WHERE s.id = known.id AND s.revision = known.revision;

-- name: search.oldest_changes
-- With what there would be to read of each; a memory's size costs nothing to ask, where its text would have to be unpacked.
SELECT c.number, c.observation_id, c.operation,
       coalesce((SELECT octet_length(o.content) + octet_length(o.metadata::text) FROM observations AS o
                 WHERE o.id = c.observation_id), 0) AS size
FROM (SELECT number, observation_id, operation FROM search_changes WHERE project_id = :project_id
      ORDER BY number LIMIT :limit) AS c
ORDER BY c.number;

-- name: search.take_changes
-- They come back when the transaction fails.
DELETE FROM search_changes WHERE project_id = :project_id AND number = ANY(:numbers::bigint[]);

-- name: search.documents
-- Found by their ids whatever the planner believes of the project: it is asked right after much was written. Those for
-- which there is no room come without their texts.
SELECT id, CASE WHEN coalesce(earlier, 0) < :most THEN left(content, :characters) END AS content,
       CASE WHEN coalesce(earlier, 0) < :most THEN metadata END AS metadata, created_at, updated_at
FROM (
    SELECT o.*, wanted.place, sum(octet_length(o.content) + octet_length(o.metadata::text))
                              OVER (ORDER BY wanted.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
    FROM unnest(:ids::text[]) WITH ORDINALITY AS wanted (id, place)
    CROSS JOIN LATERAL (SELECT id, project_id, content, metadata, created_at, updated_at FROM observations AS o
                        WHERE o.id = wanted.id LIMIT 1) AS o
    WHERE o.project_id = :project_id
) AS sized
ORDER BY place;

-- name: search.matching_changes
-- Of changes too many to be read, the newest that the coarser index of claude-mem 13 finds, with those that were made at the
-- time that is asked for, and of the latest changes those with a word in their metadata, which that index does not have.
-- A prefix is quoted as to_tsquery wants it, so that nothing in it is an operator.
WITH waiting AS MATERIALIZED (
    SELECT observation_id AS id, max(number) AS number FROM search_changes
    WHERE project_id = :project_id GROUP BY observation_id
), asked AS MATERIALIZED (
    SELECT string_agg(one::text, ' | ')::tsquery AS query
    FROM (SELECT plainto_tsquery('english', word) AS one FROM unnest(:words::text[]) AS word
          UNION ALL
          SELECT to_tsquery('simple', '''' || replace(replace(prefix, '\', '\\'), '''', '''''') || ''':*')
          FROM unnest(:prefixes::text[]) AS prefix) AS ones
    WHERE numnode(one) > 0
), matching AS (
    SELECT o.id, o.created_at FROM observations AS o
    WHERE o.project_id = :project_id AND o.content_search @@ (SELECT query FROM asked)
    UNION
    SELECT o.id, o.created_at FROM waiting JOIN observations AS o ON o.id = waiting.id
    WHERE o.project_id = :project_id AND o.created_at >= :since::timestamptz AND o.created_at < :until::timestamptz
    UNION
    SELECT o.id, o.created_at
    FROM (SELECT id FROM waiting ORDER BY number DESC LIMIT 2048) AS latest JOIN observations AS o ON o.id = latest.id
    WHERE o.project_id = :project_id
      AND EXISTS (SELECT FROM unnest(:words::text[] || :prefixes::text[]) AS word
                  WHERE strpos(lower(o.metadata::text), word) > 0)
)
SELECT matching.id, waiting.number FROM matching JOIN waiting ON waiting.id = matching.id
ORDER BY matching.created_at DESC LIMIT :limit;

-- name: search.rows
-- The memories of these ids that pass the filters, in the order of the ids; filters that are null do not apply. The platform
-- filter keeps what came from a session of that platform or, without a session, from an event of it. Those for which there
-- is no room come without their texts.
SELECT id, project_id, team_id, server_session_id, kind, CASE WHEN coalesce(earlier, 0) < :most THEN content END AS content,
       CASE WHEN coalesce(earlier, 0) < :most THEN metadata END AS metadata, created_at, updated_at, generation_key, created_by_job_id
FROM (
    SELECT o.*, wanted.place, sum(octet_length(o.content) + octet_length(o.metadata::text))
                              OVER (ORDER BY wanted.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
    FROM unnest(:ids::text[]) WITH ORDINALITY AS wanted (id, place)
    CROSS JOIN LATERAL (SELECT * FROM observations WHERE observations.id = wanted.id LIMIT 1) AS o
    LEFT JOIN server_sessions AS session ON session.id = o.server_session_id
    WHERE o.team_id = :team_id AND o.project_id = :project_id
      AND (:platform_source::text IS NULL
           OR session.platform_source = :platform_source
           OR ((session.id IS NULL OR session.platform_source IS NULL)
               AND EXISTS (SELECT FROM observation_sources AS s JOIN agent_events AS e ON e.id = s.agent_event_id
                           WHERE s.observation_id = o.id AND e.platform_source = :platform_source)))
      AND (:kinds::text[] IS NULL OR o.kind = ANY(:kinds))
      AND (:server_session_id::text IS NULL OR o.server_session_id = :server_session_id)
      AND (:since::timestamptz IS NULL OR o.created_at >= :since)
      AND (:until::timestamptz IS NULL OR o.created_at < :until)
) AS sized
ORDER BY place;

-- name: search.lock
-- Whoever writes to the file is alone anyway.
SELECT :project_id IS NOT NULL AS mine;

-- name: search.lock_project
SELECT id FROM projects WHERE id = :project_id;

-- name: search.sweep
-- Nothing is left of deleted rows.
SELECT 1;

-- name: search.columns
SELECT id, ids, lengths, times FROM search_segments WHERE id IN (SELECT value FROM json_each(:ids));

-- name: search.deletions
SELECT id, revision, deleted FROM search_segments WHERE id IN (SELECT value FROM json_each(:ids));

-- name: search.blocks
-- As on PostgreSQL; the two lists are walked side by side.
SELECT wanted.value AS segment_id, term.value AS term,
       (SELECT data FROM search_blocks AS b WHERE b.segment_id = wanted.value AND b.first_term <= term.value
        ORDER BY b.first_term DESC LIMIT 1) AS data
FROM json_each(:segment_ids) AS wanted JOIN json_each(:terms) AS term ON term.key = wanted.key
WHERE EXISTS (SELECT 1 FROM search_blocks AS b WHERE b.segment_id = wanted.value);

-- name: search.prefix_blocks
SELECT b.segment_id, b.data FROM search_blocks AS b
WHERE b.segment_id IN (SELECT value FROM json_each(:segment_ids)) AND b.first_term < :until
  AND b.first_term >= (SELECT max(first_term) FROM search_blocks AS before
                       WHERE before.segment_id = b.segment_id AND before.first_term <= :since)
ORDER BY b.segment_id, b.first_term LIMIT :limit;

-- name: search.insert_blocks
-- JSON holds no bytes; the adapter sends them as base64.
INSERT INTO search_blocks (segment_id, first_term, data)
SELECT :segment_id, value ->> 'first_term', from_base64(value ->> 'data') FROM json_each(:rows);

-- name: search.drop_segments
-- Only from the revisions that were read, and all or none: the caller counts.
DELETE FROM search_segments
WHERE EXISTS (SELECT 1 FROM json_each(:ids) AS known JOIN json_each(:revisions) AS seen ON seen.key = known.key
              WHERE known.value = search_segments.id AND seen.value = search_segments.revision);

-- name: search.documents
SELECT id, content, metadata, created_at, updated_at FROM observations
WHERE project_id = :project_id AND id IN (SELECT value FROM json_each(:ids));

-- name: search.matching_changes
-- Of changes too many to be read, the newest that hold one of the words, as it is written or reduced.
SELECT o.id FROM observations AS o
WHERE o.project_id = :project_id AND o.id IN (SELECT observation_id FROM search_changes WHERE project_id = :project_id)
  AND EXISTS (SELECT 1 FROM (SELECT value FROM json_each(:stems) UNION SELECT value FROM json_each(:words)) AS word
              WHERE instr(lower(o.content), word.value))
ORDER BY o.created_at DESC LIMIT :limit;

-- name: search.rows
-- As on PostgreSQL.
SELECT o.id, o.project_id, o.team_id, o.server_session_id, o.kind, o.content, o.metadata, o.created_at, o.updated_at,
       o.generation_key, o.created_by_job_id
FROM observations AS o LEFT JOIN server_sessions AS session ON session.id = o.server_session_id
WHERE o.id IN (SELECT value FROM json_each(:ids)) AND o.team_id = :team_id AND o.project_id = :project_id
  AND (:platform_source IS NULL
       OR session.platform_source = :platform_source
       OR ((session.id IS NULL OR session.platform_source IS NULL)
           AND EXISTS (SELECT 1 FROM observation_sources AS s JOIN agent_events AS e ON e.id = s.agent_event_id
                       WHERE s.observation_id = o.id AND e.platform_source = :platform_source)))
  AND (:kinds IS NULL OR o.kind IN (SELECT value FROM json_each(:kinds)))
  AND (:server_session_id IS NULL OR o.server_session_id = :server_session_id)
  AND (:since IS NULL OR o.created_at >= :since)
  AND (:until IS NULL OR o.created_at < :until);

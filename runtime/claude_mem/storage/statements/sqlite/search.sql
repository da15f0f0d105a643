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
SELECT b.segment_id, b.data
FROM json_each(:segment_ids) AS wanted JOIN search_blocks AS b ON b.segment_id = wanted.value
 AND b.first_term IN (SELECT within.first_term FROM search_blocks AS within
                      WHERE within.segment_id = wanted.value AND within.first_term < :until
                        AND within.first_term >= (SELECT max(first_term) FROM search_blocks AS before
                                                  WHERE before.segment_id = wanted.value AND before.first_term <= :since)
                      ORDER BY within.first_term LIMIT :limit)
ORDER BY b.segment_id, b.first_term;

-- name: search.block_bytes
SELECT segment_id, sum(length(data)) AS size FROM search_blocks
WHERE segment_id IN (SELECT value FROM json_each(:ids)) GROUP BY segment_id;

-- name: search.insert_blocks
-- JSON holds no bytes; the adapter sends them as base64.
INSERT INTO search_blocks (segment_id, first_term, data)
SELECT :segment_id, value ->> 'first_term', from_base64(value ->> 'data') FROM json_each(:rows);

-- name: search.drop_segments
-- Only from the revisions that were read, and all or none: the caller counts.
DELETE FROM search_segments
WHERE EXISTS (SELECT 1 FROM json_each(:ids) AS known JOIN json_each(:revisions) AS seen ON seen.key = known.key
              WHERE known.value = search_segments.id AND seen.value = search_segments.revision);

-- name: search.oldest_changes
SELECT c.number, c.observation_id, c.operation,
       coalesce((SELECT length(CAST(o.content AS BLOB)) + length(CAST(o.metadata AS BLOB)) FROM observations AS o
                 WHERE o.id = c.observation_id), 0) AS size
FROM (SELECT number, observation_id, operation FROM search_changes WHERE project_id = :project_id
      ORDER BY number LIMIT :limit) AS c
ORDER BY c.number;

-- name: search.take_changes
DELETE FROM search_changes WHERE project_id = :project_id AND number IN (SELECT value FROM json_each(:numbers));

-- name: search.documents
-- As on PostgreSQL.
SELECT id, CASE WHEN coalesce(earlier, 0) < :most THEN substr(content, 1, :characters) END AS content,
       CASE WHEN coalesce(earlier, 0) < :most THEN metadata END AS metadata, created_at, updated_at
FROM (
    SELECT o.id, o.content, o.metadata, o.created_at, o.updated_at, wanted.key AS place,
           sum(length(CAST(o.content AS BLOB)) + length(CAST(o.metadata AS BLOB)))
           OVER (ORDER BY wanted.key ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
    FROM json_each(:ids) AS wanted JOIN observations AS o ON o.id = wanted.value
    WHERE o.project_id = :project_id
)
ORDER BY place;

-- name: search.matching_changes
-- Of changes too many to be read, the newest that hold one of the words, as it is written or reduced, or were made at the
-- time that is asked for.
SELECT o.id, waiting.number
FROM (SELECT observation_id AS id, max(number) AS number FROM search_changes
      WHERE project_id = :project_id GROUP BY observation_id) AS waiting
JOIN observations AS o ON o.id = waiting.id
WHERE o.project_id = :project_id
  AND ((o.created_at >= :since AND o.created_at < :until)
       OR EXISTS (SELECT 1 FROM (SELECT value FROM json_each(:words) UNION SELECT value FROM json_each(:prefixes)) AS word
                  WHERE instr(lower(o.content), word.value) OR instr(lower(o.metadata), word.value)))
ORDER BY o.created_at DESC LIMIT :limit;

-- name: search.rows
-- As on PostgreSQL.
SELECT id, project_id, team_id, server_session_id, kind, CASE WHEN coalesce(earlier, 0) < :most THEN content END AS content,
       CASE WHEN coalesce(earlier, 0) < :most THEN metadata END AS metadata, created_at, updated_at, generation_key, created_by_job_id
FROM (
    SELECT o.*, wanted.key AS place,
           sum(length(CAST(o.content AS BLOB)) + length(CAST(o.metadata AS BLOB)))
           OVER (ORDER BY wanted.key ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
    FROM json_each(:ids) AS wanted JOIN observations AS o ON o.id = wanted.value
    LEFT JOIN server_sessions AS session ON session.id = o.server_session_id
    WHERE o.team_id = :team_id AND o.project_id = :project_id
      AND (:platform_source IS NULL
           OR session.platform_source = :platform_source
           OR ((session.id IS NULL OR session.platform_source IS NULL)
               AND EXISTS (SELECT 1 FROM observation_sources AS s JOIN agent_events AS e ON e.id = s.agent_event_id
                           WHERE s.observation_id = o.id AND e.platform_source = :platform_source)))
      AND (:kinds IS NULL OR o.kind IN (SELECT value FROM json_each(:kinds)))
      AND (:server_session_id IS NULL OR o.server_session_id = :server_session_id)
      AND (:since IS NULL OR o.created_at >= :since)
      AND (:until IS NULL OR o.created_at < :until)
)
ORDER BY place;

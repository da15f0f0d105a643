-- name: search.state
-- What a project's index consists of at this moment: its segments, and the changes that are not in them. One statement, so
-- that both are of one moment; whose project it is comes along, so that a search need not ask by itself.
SELECT id AS segment_id, documents, revision, length(deleted) / 2 AS deleted, CAST(NULL AS text) AS observation_id, NULL AS operation, 0 AS number
FROM search_segments WHERE project_id = :project_id
UNION ALL
SELECT NULL, NULL, NULL, NULL, observation_id, operation, number
FROM (SELECT observation_id, operation, number FROM search_changes WHERE project_id = :project_id ORDER BY number LIMIT :limit) AS oldest
UNION ALL
SELECT NULL, NULL, NULL, NULL, team_id, 'team', 0 FROM projects WHERE id = :project_id
ORDER BY number, segment_id;

-- name: search.due
-- Projects with changes that wait to be folded: how many, and the latest.
SELECT project_id, count(*) AS waiting, max(number) AS latest FROM search_changes GROUP BY project_id ORDER BY waiting DESC;

-- name: search.rewritten
-- What was inserted since it was last folded is in no segment.
SELECT observation_id FROM search_changes WHERE project_id = :project_id AND operation <> 'I' ORDER BY number DESC LIMIT :limit;

-- name: search.insert_segment
INSERT INTO search_segments (id, project_id, documents, ids, lengths, times)
VALUES (:id, :project_id, :documents, :ids, :lengths, :times);

-- name: search.delete_from_segment
-- Only from the revision that was read: another one knows of other deletions.
UPDATE search_segments SET deleted = :deleted, revision = revision + 1 WHERE id = :id AND revision = :revision;

-- name: search.all_blocks
SELECT data FROM search_blocks WHERE segment_id = :segment_id ORDER BY first_term;

-- name: observations.find_to_update
-- Held until the change commits, so that two changes at once are both kept.
SELECT id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at, generation_key, created_by_job_id
FROM observations WHERE id = :id AND team_id = :team_id;

-- name: observations.by_ids
-- As on PostgreSQL. Sizes are summed without the rows: what a window runs over is written to a temporary file, texts and all.
SELECT o.id, o.project_id, o.team_id, o.server_session_id, o.kind, CASE WHEN coalesce(earlier, 0) < :most THEN o.content END AS content,
       CASE WHEN coalesce(earlier, 0) < :most THEN o.metadata END AS metadata, o.created_at, o.updated_at, o.generation_key, o.created_by_job_id
FROM (
    SELECT one, place, sum(size) OVER (ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
    FROM (
        SELECT found.id AS one, wanted.key AS place,
               length(CAST(found.content AS BLOB)) + length(CAST(found.metadata AS BLOB)) AS size
        FROM json_each(:ids) AS wanted JOIN observations AS found ON found.id = wanted.value
        WHERE found.team_id = :team_id
    )
) AS sized CROSS JOIN observations AS o ON o.id = sized.one
ORDER BY place;

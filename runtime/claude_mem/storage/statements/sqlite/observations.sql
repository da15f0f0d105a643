-- name: observations.find_to_update
-- Held until the change commits, so that two changes at once are both kept.
SELECT id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at, generation_key, created_by_job_id
FROM observations WHERE id = :id AND team_id = :team_id;

-- name: observations.by_ids
-- As on PostgreSQL.
SELECT id, project_id, team_id, server_session_id, kind, CASE WHEN coalesce(earlier, 0) < :most THEN content END AS content,
       CASE WHEN coalesce(earlier, 0) < :most THEN metadata END AS metadata, created_at, updated_at, generation_key, created_by_job_id
FROM (
    SELECT o.*, wanted.key AS place,
           sum(length(CAST(o.content AS BLOB)) + length(CAST(o.metadata AS BLOB)))
           OVER (ORDER BY wanted.key ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
    FROM json_each(:ids) AS wanted JOIN observations AS o ON o.id = wanted.value
    WHERE o.team_id = :team_id
)
ORDER BY place;

-- name: observations.find_to_update
-- Held until the change commits, so that two changes at once are both kept.
SELECT id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at, generation_key, created_by_job_id
FROM observations WHERE id = :id AND team_id = :team_id FOR UPDATE;

-- name: observations.by_ids
-- In the order of the ids. Those for which there is no room come without their texts.
SELECT id, project_id, team_id, server_session_id, kind, CASE WHEN coalesce(earlier, 0) < :most THEN content END AS content,
       CASE WHEN coalesce(earlier, 0) < :most THEN metadata END AS metadata, created_at, updated_at, generation_key, created_by_job_id
FROM (
    SELECT o.*, wanted.place, sum(octet_length(o.content) + octet_length(o.metadata::text))
                              OVER (ORDER BY wanted.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
    FROM unnest(:ids::text[]) WITH ORDINALITY AS wanted (id, place) JOIN observations AS o ON o.id = wanted.id
    WHERE o.team_id = :team_id
) AS sized
ORDER BY place;

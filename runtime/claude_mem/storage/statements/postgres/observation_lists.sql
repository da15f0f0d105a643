-- name: observations.list
-- Newest first, from behind the cursor. Those for which there is no room come without their texts. Of each project at most a page is
-- read, in the order of an index: by itself PostgreSQL sorts all that a team has. The bound on the time says nothing new, but a plan
-- for any parameters can begin there.
SELECT id, project_id, team_id, server_session_id, kind,
       CASE WHEN :most::bigint IS NULL OR coalesce(earlier, 0) < :most::bigint THEN content END AS content,
       CASE WHEN :most::bigint IS NULL OR coalesce(earlier, 0) < :most::bigint THEN metadata END AS metadata,
       created_at, updated_at, generation_key, created_by_job_id
FROM (
    SELECT page.*, sum(length(content) + length(metadata::text))
                   OVER (ORDER BY created_at DESC, id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
    FROM (
        SELECT newest.*
        FROM projects AS p
        CROSS JOIN LATERAL (
            SELECT id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at, generation_key,
                   created_by_job_id
            FROM observations AS o
            WHERE o.team_id = :team_id AND o.project_id = p.id
              AND o.created_at <= coalesce(:before_at::timestamptz, 'infinity')
              AND (:before_id::text IS NULL OR (o.created_at, o.id) < (:before_at::timestamptz, :before_id))
            ORDER BY o.created_at DESC, o.id DESC LIMIT :limit) AS newest
        WHERE p.team_id = :team_id AND (:project_id::text IS NULL OR p.id = :project_id)
        ORDER BY created_at DESC, id DESC LIMIT :limit
    ) AS page
) AS sized
ORDER BY created_at DESC, id DESC;

-- name: observations.list_of_kind
-- The same of one kind, whatever the session, in the order of the index that knows how the kind begins.
SELECT id, project_id, team_id, server_session_id, kind,
       CASE WHEN :most::bigint IS NULL OR coalesce(earlier, 0) < :most::bigint THEN content END AS content,
       CASE WHEN :most::bigint IS NULL OR coalesce(earlier, 0) < :most::bigint THEN metadata END AS metadata,
       created_at, updated_at, generation_key, created_by_job_id
FROM (
    SELECT page.*, sum(length(content) + length(metadata::text))
                   OVER (ORDER BY created_at DESC, id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
    FROM (
        SELECT newest.*
        FROM projects AS p
        CROSS JOIN LATERAL (
            SELECT id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at, generation_key,
                   created_by_job_id
            FROM observations AS o
            WHERE o.team_id = :team_id AND o.project_id = p.id AND o.kind = :kind AND left(o.kind, 128) = left(:kind, 128)
              AND o.created_at <= coalesce(:before_at::timestamptz, 'infinity')
              AND (:before_id::text IS NULL OR (o.created_at, o.id) < (:before_at::timestamptz, :before_id))
            ORDER BY o.created_at DESC, o.id DESC LIMIT :limit) AS newest
        WHERE p.team_id = :team_id AND (:project_id::text IS NULL OR p.id = :project_id)
        ORDER BY created_at DESC, id DESC LIMIT :limit
    ) AS page
) AS sized
ORDER BY created_at DESC, id DESC;

-- name: observations.list
-- As on PostgreSQL, but each project's page is read by itself, in the order of an index: SQLite makes one plan for all filters, and
-- where the project may be null it would read and sort whatever the team has. The bound on the time says nothing new, but an index
-- can begin there.
SELECT id, project_id, team_id, server_session_id, kind,
       CASE WHEN :most IS NULL OR coalesce(earlier, 0) < :most THEN content END AS content,
       CASE WHEN :most IS NULL OR coalesce(earlier, 0) < :most THEN metadata END AS metadata,
       created_at, updated_at, generation_key, created_by_job_id
FROM (
    SELECT page.*, sum(length(content) + length(metadata))
                   OVER (ORDER BY created_at DESC, id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
    FROM (
        SELECT newest.id, newest.project_id, newest.team_id, newest.server_session_id, newest.kind, newest.content, newest.metadata,
               newest.created_at, newest.updated_at, newest.generation_key, newest.created_by_job_id
        FROM projects AS p
        CROSS JOIN observations AS newest ON newest.search_row IN (
            SELECT o.search_row FROM observations AS o
            WHERE o.team_id = :team_id AND o.project_id = p.id
              AND o.created_at <= coalesce(:before_at, 9223372036854775807)
              AND (:before_id IS NULL OR (o.created_at, o.id) < (:before_at, :before_id))
            ORDER BY o.created_at DESC, o.id DESC LIMIT :limit)
        WHERE p.team_id = :team_id AND (:project_id IS NULL OR p.id = :project_id)
        ORDER BY newest.created_at DESC, newest.id DESC LIMIT :limit
    ) AS page
) AS sized
ORDER BY created_at DESC, id DESC;

-- name: observations.list_of_kind
-- The same of one kind, whatever the session, in the order of the index that knows the kind.
SELECT id, project_id, team_id, server_session_id, kind,
       CASE WHEN :most IS NULL OR coalesce(earlier, 0) < :most THEN content END AS content,
       CASE WHEN :most IS NULL OR coalesce(earlier, 0) < :most THEN metadata END AS metadata,
       created_at, updated_at, generation_key, created_by_job_id
FROM (
    SELECT page.*, sum(length(content) + length(metadata))
                   OVER (ORDER BY created_at DESC, id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
    FROM (
        SELECT newest.id, newest.project_id, newest.team_id, newest.server_session_id, newest.kind, newest.content, newest.metadata,
               newest.created_at, newest.updated_at, newest.generation_key, newest.created_by_job_id
        FROM projects AS p
        CROSS JOIN observations AS newest ON newest.search_row IN (
            SELECT o.search_row FROM observations AS o
            WHERE o.team_id = :team_id AND o.project_id = p.id AND o.kind = :kind
              AND o.created_at <= coalesce(:before_at, 9223372036854775807)
              AND (:before_id IS NULL OR (o.created_at, o.id) < (:before_at, :before_id))
            ORDER BY o.created_at DESC, o.id DESC LIMIT :limit)
        WHERE p.team_id = :team_id AND (:project_id IS NULL OR p.id = :project_id)
        ORDER BY newest.created_at DESC, newest.id DESC LIMIT :limit
    ) AS page
) AS sized
ORDER BY created_at DESC, id DESC;

-- name: observations.insert
INSERT INTO observations (id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at)
VALUES (:id, :project_id, :team_id, :server_session_id, :kind, :content, :metadata, :now, :now);

-- name: observations.find
SELECT id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at, generation_key, created_by_job_id
FROM observations WHERE id = :id AND team_id = :team_id;

-- name: observations.list_of_session
-- As observations.list, of one session, by the index that knows the session; a kind and a project that are null do not apply.
SELECT id, project_id, team_id, server_session_id, kind,
       CASE WHEN CAST(:most AS bigint) IS NULL OR coalesce(earlier, 0) < CAST(:most AS bigint) THEN content END AS content,
       CASE WHEN CAST(:most AS bigint) IS NULL OR coalesce(earlier, 0) < CAST(:most AS bigint) THEN metadata END AS metadata,
       created_at, updated_at, generation_key, created_by_job_id
FROM (
    SELECT page.*, sum(length(content) + length(CAST(metadata AS text)))
                   OVER (ORDER BY created_at DESC, id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
    FROM (
        SELECT id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at, generation_key,
               created_by_job_id
        FROM observations
        WHERE team_id = :team_id AND server_session_id = :server_session_id
          AND (CAST(:project_id AS text) IS NULL OR project_id = :project_id)
          AND (CAST(:kind AS text) IS NULL OR kind = :kind)
          AND (CAST(:before_id AS text) IS NULL OR (created_at, id) < (CAST(:before_at AS timestamptz), :before_id))
        ORDER BY created_at DESC, id DESC LIMIT :limit
    ) AS page
) AS sized
ORDER BY created_at DESC, id DESC;

-- name: observations.update
UPDATE observations SET content = :content, kind = :kind, metadata = :metadata, updated_at = :now
WHERE id = :id AND team_id = :team_id
RETURNING id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at, generation_key, created_by_job_id;

-- name: observations.delete
DELETE FROM observations WHERE id = :id AND team_id = :team_id AND (CAST(:project_id AS text) IS NULL OR project_id = :project_id)
RETURNING id, project_id;

-- name: observations.of_event
SELECT o.id, o.project_id, o.team_id, o.server_session_id, o.kind, o.content, o.metadata, o.created_at, o.updated_at,
       o.generation_key, o.created_by_job_id, s.id AS source_row_id, s.source_type, s.source_id,
       s.generation_job_id AS source_job_id, s.created_at AS source_created_at
FROM observation_sources AS s JOIN observations AS o ON o.id = s.observation_id
WHERE s.agent_event_id = :event_id AND o.team_id = :team_id AND o.project_id = :project_id
ORDER BY o.created_at, o.id;

-- name: observations.purge
DELETE FROM observations WHERE team_id = :team_id AND project_id = :project_id;

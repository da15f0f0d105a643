-- name: observations.find_to_update
-- Held until the change commits, so that two changes at once are both kept.
SELECT id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at, generation_key, created_by_job_id
FROM observations WHERE id = :id AND team_id = :team_id;

-- name: observations.search
-- As on PostgreSQL; FTS5's bm25 is smaller for better matches.
SELECT o.id, o.project_id, o.team_id, o.server_session_id, o.kind, o.content, o.metadata, o.created_at, o.updated_at,
       o.generation_key, o.created_by_job_id, -bm25(observations_fts) AS score
FROM observations_fts JOIN observations AS o ON o.rowid = observations_fts.rowid
     LEFT JOIN server_sessions AS session ON session.id = o.server_session_id
WHERE observations_fts MATCH :query AND o.team_id = :team_id AND o.project_id = :project_id
  AND (:platform_source IS NULL
       OR session.platform_source = :platform_source
       OR ((session.id IS NULL OR session.platform_source IS NULL)
           AND EXISTS (SELECT 1 FROM observation_sources AS s JOIN agent_events AS e ON e.id = s.agent_event_id
                       WHERE s.observation_id = o.id AND e.platform_source = :platform_source)))
ORDER BY score DESC, o.updated_at DESC, o.id LIMIT :limit;

-- name: observations.find_to_update
-- Held until the change commits, so that two changes at once are both kept.
SELECT id, project_id, team_id, server_session_id, kind, content, metadata, created_at, updated_at, generation_key, created_by_job_id
FROM observations WHERE id = :id AND team_id = :team_id FOR UPDATE;

-- name: observations.search
-- Any of the words may match; rank decides, and recency only between equals. The platform filter keeps what came from a
-- session of that platform or, without a session, from an event of it.
SELECT o.id, o.project_id, o.team_id, o.server_session_id, o.kind, o.content, o.metadata, o.created_at, o.updated_at,
       o.generation_key, o.created_by_job_id, ts_rank(o.content_search, to_tsquery('english', :query), 1) AS score
FROM observations AS o LEFT JOIN server_sessions AS session ON session.id = o.server_session_id
WHERE o.team_id = :team_id AND o.project_id = :project_id
  AND o.content_search @@ to_tsquery('english', :query)
  AND (CAST(:platform_source AS text) IS NULL
       OR session.platform_source = :platform_source
       OR ((session.id IS NULL OR session.platform_source IS NULL)
           AND EXISTS (SELECT FROM observation_sources AS s JOIN agent_events AS e ON e.id = s.agent_event_id
                       WHERE s.observation_id = o.id AND e.platform_source = :platform_source)))
ORDER BY score DESC, o.updated_at DESC, o.id LIMIT :limit;

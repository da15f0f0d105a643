-- name: sessions.list
-- Those that began last come first, from behind the cursor; a project that is null does not apply. Of each project at most a page is
-- read, in the order of an index: by itself PostgreSQL sorts all that a team has. The bound on the time says nothing new, but a plan
-- for any parameters can begin there.
SELECT newest.*
FROM projects AS p
CROSS JOIN LATERAL (
  SELECT * FROM server_sessions AS s
  WHERE s.team_id = :team_id AND s.project_id = p.id
    AND s.started_at <= coalesce(:before_at::timestamptz, 'infinity')
    AND (:before_id::text IS NULL OR (s.started_at, s.id) < (:before_at::timestamptz, :before_id))
  ORDER BY s.started_at DESC, s.id DESC LIMIT :limit) AS newest
WHERE p.team_id = :team_id AND (:project_id::text IS NULL OR p.id = :project_id)
ORDER BY started_at DESC, id DESC LIMIT :limit;

-- name: sessions.in_scope
SELECT id, project_id, team_id FROM server_sessions WHERE id = ANY(:ids::text[]);

-- name: sessions.refresh
-- A repeated start adds what it knows; it takes nothing away and leaves the state of generation alone.
UPDATE server_sessions SET metadata = metadata || :metadata::jsonb, agent_id = COALESCE(:agent_id::text, agent_id),
       agent_type = COALESCE(:agent_type::text, agent_type), updated_at = :now
WHERE id = :id RETURNING *;

-- name: sessions.by_external
-- Each of the two indexes of external ids serves one half; a platform that may be null or not would be sought through the project.
SELECT * FROM server_sessions
WHERE project_id = :project_id AND team_id = :team_id AND external_session_id = :external_session_id
  AND platform_source = :platform_source::text
UNION ALL
SELECT * FROM server_sessions
WHERE project_id = :project_id AND team_id = :team_id AND external_session_id = :external_session_id
  AND platform_source IS NULL AND :platform_source::text IS NULL;

-- name: sessions.link
-- For each wanted content id the newest session: of any platform, or of exactly the one given (which may be none). One of the three
-- is read; who names the platform finds the session by the whole index.
SELECT wanted.position, found.id
FROM unnest(:position::integer[], :project_id::text[], :team_id::text[], :content_session_id::text[], :any_platform::boolean[],
            :platform_source::text[])
  AS wanted (position, project_id, team_id, content_session_id, any_platform, platform_source)
CROSS JOIN LATERAL (
  (SELECT s.id FROM server_sessions AS s
   WHERE wanted.any_platform
     AND s.team_id = wanted.team_id AND s.project_id = wanted.project_id AND s.content_session_id = wanted.content_session_id
   ORDER BY s.started_at DESC, s.id DESC LIMIT 1)
  UNION ALL
  (SELECT s.id FROM server_sessions AS s
   WHERE NOT wanted.any_platform AND s.platform_source = wanted.platform_source
     AND s.team_id = wanted.team_id AND s.project_id = wanted.project_id AND s.content_session_id = wanted.content_session_id
   ORDER BY s.started_at DESC, s.id DESC LIMIT 1)
  UNION ALL
  (SELECT s.id FROM server_sessions AS s
   WHERE NOT wanted.any_platform AND s.platform_source IS NULL AND wanted.platform_source IS NULL
     AND s.team_id = wanted.team_id AND s.project_id = wanted.project_id AND s.content_session_id = wanted.content_session_id
   ORDER BY s.started_at DESC, s.id DESC LIMIT 1)) AS found;

-- name: sessions.by_ids
SELECT * FROM server_sessions WHERE id = ANY(:ids::text[]) AND team_id = :team_id;

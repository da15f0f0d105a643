-- name: changes.list
-- What happened to observations and jobs of a team or project, oldest first, from behind a position. The audit log tells of nearly
-- all of it; that a job failed or waits for its next attempt stands only in the jobs' histories. A batch over several projects
-- has one line without a project.
SELECT at, id, action, resource_id, details
FROM (SELECT created_at AS at, id, action, resource_id,
             CASE WHEN action IN ('event.received', 'event.batch_received') THEN details END AS details
      FROM audit_log
      WHERE team_id = :team_id AND created_at >= :after_at
        AND (CAST(:project_id AS text) IS NULL OR project_id = :project_id
             OR (project_id IS NULL AND action = 'event.batch_received'))
        AND action IN ('event.received', 'event.batch_received', 'generation_job.processing', 'generation_job.completed',
                       'generation_job.retried_by_operator', 'generation_job.cancelled_by_operator', 'memory.write',
                       'memory.update', 'observation.created', 'observation.deleted', 'project.memory_purged')
      UNION ALL
      SELECT line.created_at, line.id, 'generation_job.' || line.event_type, line.generation_job_id, NULL
      FROM observation_generation_job_events AS line JOIN observation_generation_jobs AS job ON job.id = line.generation_job_id
      WHERE line.event_type IN ('failed', 'retry_scheduled') AND line.created_at >= :after_at AND job.team_id = :team_id
        AND (CAST(:project_id AS text) IS NULL OR job.project_id = :project_id)) AS changes
WHERE (at, id) > (:after_at, :after_id)
ORDER BY at, id LIMIT :limit;

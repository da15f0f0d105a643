-- name: usage.insert
INSERT INTO usage_events (id, team_id, project_id, kind, quantity, metadata, created_at)
SELECT new.id, new.team_id, (SELECT p.id FROM projects AS p WHERE p.id = new.project_id), new.kind, new.quantity, new.metadata, new.created_at
FROM unnest(:id::text[], :team_id::text[], :project_id::text[], :kind::text[], :quantity::bigint[], :metadata::jsonb[],
            :created_at::timestamptz[])
  AS new (id, team_id, project_id, kind, quantity, metadata, created_at)
WHERE EXISTS (SELECT FROM teams WHERE teams.id = new.team_id)
ON CONFLICT (id) DO NOTHING;

-- name: usage.lock_team
-- Requests of one team are admitted one after the other where a cap is set, so that none slips past it.
SELECT id FROM teams WHERE id = :team_id FOR NO KEY UPDATE;

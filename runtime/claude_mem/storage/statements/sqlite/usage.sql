-- name: usage.insert
INSERT INTO usage_events (id, team_id, project_id, kind, quantity, metadata, created_at)
SELECT value ->> 'id', value ->> 'team_id', (SELECT p.id FROM projects AS p WHERE p.id = value ->> 'project_id'),
       value ->> 'kind', value ->> 'quantity', value ->> 'metadata', value ->> 'created_at'
FROM json_each(:rows) WHERE EXISTS (SELECT 1 FROM teams WHERE teams.id = value ->> 'team_id')
ON CONFLICT (id) DO NOTHING;

-- name: usage.lock_team
-- Requests of one team are admitted one after the other where a cap is set, so that none slips past it.
SELECT id FROM teams WHERE id = :team_id;

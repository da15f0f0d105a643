-- description: leases of generation jobs

-- name: observation_generation_jobs_lease
-- Null on adopted rows and on rows that claude-mem 13 takes; those are judged by locked_at.
ALTER TABLE observation_generation_jobs ADD COLUMN IF NOT EXISTS lease_expires_at TIMESTAMPTZ;

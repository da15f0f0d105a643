-- name: keys.by_hashes
-- One look-up serves every request that was waiting when it began; nothing is cached between look-ups.
SELECT * FROM api_keys WHERE key_hash = ANY(:hashes::text[]);

-- name: keys.touch
-- A hint for people, written seconds late and only forward.
UPDATE api_keys AS k SET last_used_at = GREATEST(k.last_used_at, used.at)
FROM unnest(:id::text[], :at::timestamptz[]) AS used (id, at) WHERE k.id = used.id;

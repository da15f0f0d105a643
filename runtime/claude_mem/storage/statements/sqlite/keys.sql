-- name: keys.by_hashes
SELECT * FROM api_keys WHERE key_hash IN (SELECT value FROM json_each(:hashes));

-- name: keys.touch
UPDATE api_keys SET last_used_at = max(COALESCE(last_used_at, 0), used.at)
FROM (SELECT value ->> 'id' AS id, value ->> 'at' AS at FROM json_each(:rows)) AS used WHERE api_keys.id = used.id;

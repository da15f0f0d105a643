-- description: names, prefixes, last use and rotation of API keys
--
-- One ALTER per transaction from here on: a transaction that held one table while it waited for the next
-- could meet traffic that locks the two the other way round.

-- name: api_keys_columns
-- All nullable: claude-mem 13 inserts keys without them. key_prefix holds the first characters of a key, for
-- people who look for one in a list; replaced_by is the id of the key that a rotation put in its place.
ALTER TABLE api_keys
    ADD COLUMN IF NOT EXISTS name TEXT,
    ADD COLUMN IF NOT EXISTS key_prefix TEXT,
    ADD COLUMN IF NOT EXISTS last_used_at TIMESTAMPTZ,
    ADD COLUMN IF NOT EXISTS replaced_by TEXT;

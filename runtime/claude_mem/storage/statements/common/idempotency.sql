-- name: idempotency.claim
-- Ours when there was no such request, or it is over, or whoever was at it gave no answer in time; and still ours when the
-- statement is sent once more.
INSERT INTO idempotent_requests AS kept (id, team_id, request_hash, owner, locked_until, created_at, expires_at)
VALUES (:id, :team_id, :request_hash, :owner, :locked_until, :now, :expires_at)
ON CONFLICT (id) DO UPDATE
SET request_hash = excluded.request_hash, owner = excluded.owner, locked_until = excluded.locked_until, status = NULL,
    answer = NULL, created_at = excluded.created_at, expires_at = excluded.expires_at
WHERE kept.owner = excluded.owner OR kept.expires_at < :now OR (kept.status IS NULL AND kept.locked_until < :now)
RETURNING id;

-- name: idempotency.find
SELECT request_hash, status, answer FROM idempotent_requests WHERE id = :id;

-- name: idempotency.finish
-- Guarded: who was too slow has lost the row to another. The mark of a purge that came in between stays.
UPDATE idempotent_requests SET status = :status, answer = COALESCE(answer, :answer)
WHERE id = :id AND owner = :owner AND status IS NULL;

-- name: idempotency.abandon
-- Nothing was done, so the same key may try again at once.
DELETE FROM idempotent_requests WHERE id = :id AND owner = :owner AND status IS NULL;

-- name: idempotency.clear
-- What an answer is about cannot be read here, so it is all that the team was answered. Requests that somebody is at are marked
-- as well: what they did may be gone with the purge, and their answers come after it.
UPDATE idempotent_requests SET answer = :mark WHERE team_id = :team_id AND (answer IS NULL OR answer <> :mark);

-- name: idempotency.forget
DELETE FROM idempotent_requests WHERE expires_at < :now;

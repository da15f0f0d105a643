-- description: answers of providers, kept until they are used

-- name: lock
-- What the foreign key takes anyway, said first: writers of jobs wait for the length of one CREATE TABLE.
LOCK TABLE observation_generation_jobs IN SHARE ROW EXCLUSIVE MODE;

-- name: generation_replies
-- One row for each job of a call, written as soon as the answer is there and deleted by the transaction that uses it. A worker
-- that dies in between leaves what was paid for to the next one.
CREATE TABLE generation_replies (
    job_id     TEXT PRIMARY KEY REFERENCES observation_generation_jobs (id) ON DELETE CASCADE,
    call_id    TEXT NOT NULL,
    document   TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

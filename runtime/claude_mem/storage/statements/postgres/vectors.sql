-- name: vectors.support
-- Whether vectors can be held: the type is created and on the search path, its files are on the machine, the table is there,
-- and has all of its columns.
SELECT to_regtype('vector') IS NOT NULL AS created,
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') AS installed,
       to_regclass('observation_vectors') IS NOT NULL AS present,
       EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('observation_vectors') AND attname = 'further'
                                          AND NOT attisdropped) AS stored;

-- name: vectors.lock
-- One process at a time makes the table.
SELECT pg_advisory_xact_lock(hashtextextended('claude-mem vectors', 0));

-- name: vectors.create_table
-- Not a migration: its type needs an extension that most servers lack. A row without a vector is a claim, or a failure that
-- is tried again after held_until. The vector has no length of its own, so that models may change.
CREATE TABLE IF NOT EXISTS observation_vectors (
    observation_id    TEXT PRIMARY KEY REFERENCES observations (id) ON DELETE CASCADE,
    team_id           TEXT NOT NULL,
    project_id        TEXT NOT NULL,
    model             TEXT NOT NULL,
    dimensions        INTEGER,
    content_hash      TEXT,
    source_updated_at TIMESTAMPTZ,
    embedding         vector,
    holder            TEXT NOT NULL,
    held_until        TIMESTAMPTZ NOT NULL,
    attempts          INTEGER NOT NULL DEFAULT 0,
    created_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
    further           vector[] NOT NULL DEFAULT '{}'
);

-- name: vectors.add_further
-- The table of a version that made one vector of a memory, whatever its length.
ALTER TABLE observation_vectors ADD COLUMN IF NOT EXISTS further vector[] NOT NULL DEFAULT '{}';

-- name: vectors.renew_long
-- Memories of that version that have more than one passage are embedded anew: what was cut off gets its vectors. That of a
-- memory of one passage is what it would get.
UPDATE observation_vectors AS v SET embedding = NULL
FROM observations AS o WHERE o.id = v.observation_id AND length(o.content) > :characters;

-- name: vectors.create_index
-- A question reads the vectors of its project.
CREATE INDEX IF NOT EXISTS idx_observation_vectors_project ON observation_vectors (project_id);

-- name: vectors.claim
-- The newest memories without a current vector, held for one worker. Others that chose the same wait for the first, and then
-- leave them out. Text without a word in it is not sent anywhere.
WITH due AS (
    SELECT o.id, o.team_id, o.project_id FROM observations AS o
    LEFT JOIN observation_vectors AS v ON v.observation_id = o.id
    WHERE (v.observation_id IS NULL
           OR (v.held_until <= :now
               AND (v.embedding IS NULL OR v.model <> :model OR v.dimensions <> coalesce(:dimensions::int, v.dimensions)
                    OR v.source_updated_at <> o.updated_at)))
      AND o.content ~ '\w' AND o.project_id <> ALL(:without::text[])
    ORDER BY o.created_at DESC, o.id LIMIT :limit
), claimed AS (
    INSERT INTO observation_vectors AS v (observation_id, team_id, project_id, model, holder, held_until)
    SELECT id, team_id, project_id, :model, :holder, :until::timestamptz FROM due
    ON CONFLICT (observation_id) DO UPDATE SET
        model = excluded.model, holder = excluded.holder, held_until = excluded.held_until, embedding = NULL, further = '{}'
    WHERE v.held_until <= :now
    RETURNING v.observation_id
)
SELECT o.id, o.team_id, o.project_id, left(o.content, :characters::int) AS content, md5(o.content) AS content_hash,
       o.updated_at
FROM claimed JOIN observations AS o ON o.id = claimed.observation_id
ORDER BY o.team_id, o.project_id, o.created_at DESC, o.id;

-- name: vectors.store
-- Only what the worker still holds; a memory that is gone took its row with it.
UPDATE observation_vectors AS v
SET embedding = n.embedding::vector, further = n.further::vector[], dimensions = vector_dims(n.embedding::vector),
    content_hash = n.content_hash, source_updated_at = n.updated_at, held_until = :now, attempts = 0, created_at = :now
FROM unnest(:id::text[], :embedding::text[], :further::text[], :content_hash::text[], :updated_at::timestamptz[])
    AS n (id, embedding, further, content_hash, updated_at)
WHERE v.observation_id = n.id AND v.holder = :holder
RETURNING v.observation_id;

-- name: vectors.release
-- What a worker holds and did not finish may be taken again.
UPDATE observation_vectors SET held_until = :until, holder = '' WHERE holder = :holder AND embedding IS NULL;

-- name: vectors.refuse
-- Tried again after a minute, then after twice as long each time, up to a day.
UPDATE observation_vectors
SET held_until = :now::timestamptz + make_interval(secs => least(60 * power(2, least(attempts, 20)), 86400)),
    attempts = attempts + 1, holder = ''
WHERE holder = :holder AND observation_id = ANY(:ids::text[]);

-- name: vectors.nearest
-- All vectors of a project are compared: an approximate index would lose those of a small project among a large one's, and
-- those that pass filters. Of a long text's vectors the nearest counts. A vector of a text that has changed since is left
-- out. Filters are those of search.rows.
WITH near AS MATERIALIZED (
    SELECT v.observation_id, v.content_hash,
           CASE WHEN cardinality(v.further) = 0 THEN v.embedding <=> :question::text::vector
                ELSE least(v.embedding <=> :question::text::vector,
                           (SELECT min(one <=> :question::text::vector) FROM unnest(v.further) AS one))
           END AS distance
    FROM observation_vectors AS v
    WHERE v.team_id = :team_id AND v.project_id = :project_id AND v.model = :model AND v.embedding IS NOT NULL
      AND v.dimensions = :dimensions
      AND (NOT :narrowed::boolean OR EXISTS (
          SELECT FROM observations AS o LEFT JOIN server_sessions AS session ON session.id = o.server_session_id
          WHERE o.id = v.observation_id
            AND (:platform_source::text IS NULL
                 OR session.platform_source = :platform_source
                 OR ((session.id IS NULL OR session.platform_source IS NULL)
                     AND EXISTS (SELECT FROM observation_sources AS s JOIN agent_events AS e ON e.id = s.agent_event_id
                                 WHERE s.observation_id = o.id AND e.platform_source = :platform_source)))
            AND (:kinds::text[] IS NULL OR o.kind = ANY(:kinds))
            AND (:server_session_id::text IS NULL OR o.server_session_id = :server_session_id)
            AND (:since::timestamptz IS NULL OR o.created_at >= :since)
            AND (:until::timestamptz IS NULL OR o.created_at < :until)))
    ORDER BY distance, v.observation_id LIMIT :limit
)
SELECT o.id, (1 - near.distance)::float8 AS similarity
FROM near JOIN observations AS o ON o.id = near.observation_id
WHERE o.team_id = :team_id AND o.project_id = :project_id AND md5(o.content) = near.content_hash
ORDER BY near.distance, o.id;

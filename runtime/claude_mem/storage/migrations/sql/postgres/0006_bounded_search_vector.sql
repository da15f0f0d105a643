-- description: memories of any size are searchable
--
-- A tsvector holds at most 1 MB of lexemes and positions. As a generated column it made the INSERT of a larger
-- memory fail. Dropping the expression keeps the column, its values and its index, and rewrites nothing; a trigger
-- takes over in the same transaction, so no row misses its vector.

-- name: claude_mem_search_vector
-- Halves the text until its vector fits: the start of an oversized memory stays searchable. Deterministic, so
-- immutable; not parallel safe, because the exception block is a subtransaction.
CREATE FUNCTION claude_mem_search_vector(content TEXT) RETURNS TSVECTOR
LANGUAGE plpgsql IMMUTABLE STRICT
AS $$
DECLARE
    size INTEGER := length(content);
BEGIN
    LOOP
        BEGIN
            RETURN pg_catalog.to_tsvector('pg_catalog.english', left(content, size));
        EXCEPTION WHEN program_limit_exceeded THEN
            size := size / 2;
        END;
    END LOOP;
END
$$;

-- name: claude_mem_fill_content_search
-- The search path is fixed because a writer's may not hold our function.
CREATE FUNCTION claude_mem_fill_content_search() RETURNS TRIGGER
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    new.content_search := claude_mem_search_vector(new.content);
    RETURN new;
END
$$;

-- name: observations_content_search
-- The column becomes an ordinary one. The lock is strong but short.
ALTER TABLE observations ALTER COLUMN content_search DROP EXPRESSION IF EXISTS;

-- name: observations_fill_content_search
-- content_search itself is in the list so that nobody can write a vector that does not belong to the content.
CREATE TRIGGER observations_fill_content_search
BEFORE INSERT OR UPDATE OF content, content_search ON observations
FOR EACH ROW EXECUTE FUNCTION claude_mem_fill_content_search();

-- description: every change of a memory is noted for the search index
--
-- Triggers note them, so it does not matter who writes observations. The memories that are already there are noted
-- under the lock that installs the triggers, so none is missed; the servers then fold them into the index in the
-- background, and a search finds those that wait.

-- name: claude_mem_note_search_changes
-- I, U and D: inserted, updated, deleted. The search path is fixed because a writer's may not hold our tables.
CREATE FUNCTION claude_mem_note_search_changes() RETURNS TRIGGER
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF tg_op = 'INSERT' THEN
        INSERT INTO search_changes (project_id, observation_id, operation) SELECT project_id, id, 'I' FROM added;
    ELSIF tg_op = 'DELETE' THEN
        INSERT INTO search_changes (project_id, observation_id, operation) SELECT project_id, id, 'D' FROM removed;
    ELSIF tg_op = 'TRUNCATE' THEN
        DELETE FROM search_changes;
        DELETE FROM search_segments;
    ELSE
        INSERT INTO search_changes (project_id, observation_id, operation)
        SELECT old.project_id, old.id, 'D' WHERE (old.project_id, old.id) <> (new.project_id, new.id)
        UNION ALL
        SELECT new.project_id, new.id, 'U';
    END IF;
    RETURN NULL;
END
$$;

-- name: observations_search_added
-- New memories.
CREATE TRIGGER observations_search_added AFTER INSERT ON observations
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION claude_mem_note_search_changes();

-- name: observations_search_removed
-- Deletions, purges and cascades.
CREATE TRIGGER observations_search_removed AFTER DELETE ON observations
REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION claude_mem_note_search_changes();

-- name: observations_search_changed
-- What is searched of a memory, and the times that order it. The cascade that clears its session is none of these.
CREATE TRIGGER observations_search_changed
AFTER UPDATE OF id, project_id, content, metadata, created_at, updated_at ON observations
FOR EACH ROW
WHEN ((old.id, old.project_id, old.content, old.metadata, old.created_at, old.updated_at)
      IS DISTINCT FROM (new.id, new.project_id, new.content, new.metadata, new.created_at, new.updated_at))
EXECUTE FUNCTION claude_mem_note_search_changes();

-- name: observations_search_truncated
-- An emptied table has nothing to find.
CREATE TRIGGER observations_search_truncated AFTER TRUNCATE ON observations
FOR EACH STATEMENT EXECUTE FUNCTION claude_mem_note_search_changes();

-- name: backfill
-- Every memory there is, oldest first.
INSERT INTO search_changes (project_id, observation_id, operation)
SELECT project_id, id, 'I' FROM observations ORDER BY created_at;

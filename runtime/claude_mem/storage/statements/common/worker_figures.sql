-- name: worker_figures.report
INSERT INTO worker_figures (worker, reported_at, figures) VALUES (:worker, :now, :figures)
ON CONFLICT (worker) DO UPDATE SET reported_at = excluded.reported_at, figures = excluded.figures;

-- name: worker_figures.current
-- The latest first, and never more than an answer can hold.
SELECT worker, figures FROM worker_figures WHERE reported_at >= :since ORDER BY reported_at DESC, worker LIMIT :limit;

-- name: worker_figures.forget
-- Of a worker that ended, or of those that went silent long ago.
DELETE FROM worker_figures WHERE worker = :worker OR reported_at < :before;

-- name: projects
SELECT id, status FROM projects;

-- name: ledger
SELECT kind, name, project_id, state FROM resources;

-- name: open_jobs
SELECT DISTINCT project_id FROM jobs
 WHERE project_id IS NOT NULL AND status IN ('queued', 'retrying', 'running', 'cancelling');

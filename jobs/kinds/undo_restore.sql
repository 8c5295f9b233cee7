-- name: status
SELECT status FROM projects WHERE id = %(project)s;

-- name: touch
UPDATE projects SET updated_at = now() WHERE id = %(project)s;

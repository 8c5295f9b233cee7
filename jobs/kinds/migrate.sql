-- name: status
SELECT status FROM projects WHERE id = %(project)s AND status <> 'deleted';

-- name: asked_at
SELECT created_at FROM jobs WHERE id = %(job)s;

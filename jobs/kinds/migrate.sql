-- name: status
SELECT status FROM projects WHERE id = %(project)s AND status <> 'deleted';

-- name: asked_at
SELECT created_at FROM jobs WHERE id = %(job)s;

-- name: mark_newest
UPDATE projects SET template = %(template)s, updated_at = now()
 WHERE id = %(project)s AND template IS DISTINCT FROM %(template)s;

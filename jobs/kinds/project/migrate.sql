-- name: asked_at
SELECT created_at FROM jobs WHERE id = %(job)s;

-- name: now
SELECT extract(epoch FROM now())::bigint;

-- name: owner
SELECT owner_id FROM projects WHERE id = %(project)s;

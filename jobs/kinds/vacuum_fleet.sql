-- name: active
SELECT id FROM projects WHERE status = 'active' ORDER BY id;

-- name: wanted
SELECT id FROM projects WHERE id = ANY (%(projects)s) AND status = 'active';

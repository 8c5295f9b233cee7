-- name: settled
SELECT id FROM projects WHERE status = ANY (%(settled)s) ORDER BY id;

-- name: wanted
SELECT id FROM projects WHERE id = ANY (%(projects)s) AND status NOT IN ('deleting', 'deleted');

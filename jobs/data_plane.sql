-- name: project
SELECT pool_size FROM projects WHERE id = %(project)s AND status NOT IN ('deleting', 'deleted');

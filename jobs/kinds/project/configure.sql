-- name: pool_size
SELECT pool_size FROM projects WHERE id = %(project)s;

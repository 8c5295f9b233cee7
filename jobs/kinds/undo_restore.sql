-- name: status
SELECT status FROM projects WHERE id = %(project)s;

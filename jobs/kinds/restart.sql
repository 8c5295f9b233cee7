-- name: active
SELECT id FROM projects WHERE id = %(project)s AND status = 'active' FOR UPDATE;

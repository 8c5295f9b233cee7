-- name: is_known
SELECT EXISTS (SELECT FROM projects WHERE id = %(owner)s);

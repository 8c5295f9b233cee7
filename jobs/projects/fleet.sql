-- name: projects
SELECT id FROM projects WHERE status = ANY (%(states)s) ORDER BY id;

-- name: among
SELECT id FROM projects WHERE id = ANY (%(projects)s) AND status = ANY (%(states)s);

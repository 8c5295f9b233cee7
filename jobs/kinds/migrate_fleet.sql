-- name: behind
SELECT id FROM projects
 WHERE status = ANY (%(settled)s) AND template IS DISTINCT FROM %(template)s ORDER BY id;

-- name: wanted
SELECT id FROM projects WHERE id = ANY (%(projects)s) AND status NOT IN ('deleting', 'deleted');

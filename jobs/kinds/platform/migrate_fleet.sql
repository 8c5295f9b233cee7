-- name: behind
SELECT id FROM projects
 WHERE status = ANY (%(settled)s) AND template IS DISTINCT FROM %(template)s ORDER BY id;

-- name: in_the_way
-- A job after which the project is in another state.
SELECT id FROM jobs
 WHERE project_id = %(project)s AND status IN ('queued', 'retrying', 'running', 'cancelling')
   AND kind IN ('project.provision', 'project.pause', 'project.resume', 'project.restore', 'project.delete')
 ORDER BY seq DESC LIMIT 1;

-- name: under_way
SELECT * FROM jobs
 WHERE project_id = %(project)s AND kind = 'project.migrate' AND status IN ('queued', 'retrying', 'running')
   AND args ->> 'migration_id' IS NULL
 ORDER BY seq LIMIT 1;

-- name: behind
SELECT id, name, status, template FROM projects
 WHERE status = ANY (%(settled)s) AND template IS DISTINCT FROM %(template)s ORDER BY id;

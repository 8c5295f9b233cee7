-- name: same_version
SELECT id, project_id, version, name, checksum, transactional, timeout_ms, rerun, status, began_as, job_id, created_at,
       finished_at
  FROM owner_migrations
 WHERE project_id = %(project)s AND version::numeric = %(version)s::numeric AND status <> 'replaced';

-- name: later
SELECT version FROM owner_migrations
 WHERE project_id = %(project)s AND version::numeric > %(version)s::numeric
   AND status IN ('queued', 'running', 'applied', 'doubtful')
 ORDER BY version::numeric DESC LIMIT 1;

-- name: replace
UPDATE owner_migrations SET status = 'replaced' WHERE id = %(id)s;

-- name: submit
INSERT INTO owner_migrations (project_id, version, name, sql, checksum, transactional, timeout_ms, rerun)
VALUES (%(project)s, %(version)s, %(name)s, %(sql)s, %(checksum)s, %(transactional)s, %(timeout_ms)s, %(rerun)s)
RETURNING id, project_id, version, name, checksum, transactional, timeout_ms, rerun, status, began_as, job_id,
          created_at, finished_at;

-- name: given_to
UPDATE owner_migrations SET job_id = %(job)s WHERE id = %(id)s;

-- name: find
SELECT id, project_id, version, name, checksum, transactional, timeout_ms, rerun, status, began_as, job_id, created_at,
       finished_at
  FROM owner_migrations WHERE id = %(id)s;

-- name: text
SELECT sql FROM owner_migrations WHERE id = %(id)s;

-- name: listing
SELECT id, project_id, version, name, checksum, transactional, timeout_ms, rerun, status, began_as, job_id, created_at,
       finished_at
  FROM owner_migrations WHERE project_id = %(project)s AND status <> 'replaced' ORDER BY version::numeric;

-- name: begin
UPDATE owner_migrations SET status = 'running', began_as = %(began_as)s, finished_at = NULL WHERE id = %(id)s;

-- name: settle
UPDATE owner_migrations SET status = %(status)s, finished_at = now() WHERE id = %(id)s AND status <> 'applied';

-- name: fail_waiting
UPDATE owner_migrations SET status = 'failed', finished_at = now() WHERE id = %(id)s AND status = 'queued';

-- name: reopen
UPDATE owner_migrations SET status = 'queued', began_as = NULL, finished_at = NULL WHERE id = %(id)s;

-- name: failed_before
SELECT o.version FROM owner_migrations m JOIN owner_migrations o ON o.project_id = m.project_id
 WHERE m.id = %(id)s AND o.version::numeric < m.version::numeric AND o.status IN ('failed', 'doubtful')
   AND o.finished_at >= m.created_at
 ORDER BY o.version::numeric LIMIT 1;

-- name: forget
DELETE FROM owner_migrations WHERE project_id = %(project)s;

-- name: status
SELECT status FROM projects WHERE id = %(project)s;

-- name: now
SELECT extract(epoch FROM now())::bigint;

-- name: mark_active
UPDATE projects SET status = 'active', status_reason = NULL, template = %(template)s, deleted_at = NULL, updated_at = now()
 WHERE id = %(project)s AND status = 'restoring';

-- name: touch
UPDATE projects SET template = %(template)s, updated_at = now() WHERE id = %(project)s;

-- name: mark_failed
UPDATE projects SET status = 'failed', status_reason = %(reason)s, updated_at = now()
 WHERE id = %(project)s AND status = 'restoring';

-- name: mark_restoring
UPDATE projects SET status = 'restoring', status_reason = NULL, updated_at = now()
 WHERE id = %(project)s AND status = 'failed';

-- name: is_kept
-- Where there was no whole database before, there is nothing to go back to.
SELECT EXISTS (SELECT FROM resources WHERE kind = 'database' AND name = %(name)s AND state = 'present');

-- name: now
-- Rounded down: a key must not be issued in the future.
SELECT floor(extract(epoch FROM now()))::bigint;

-- name: mark_active
-- Only a project that is still wanted: a deletion may have been accepted meanwhile.
UPDATE projects SET status = 'active', status_reason = NULL, template = %(template)s, updated_at = now()
 WHERE id = %(project)s AND status IN ('provisioning', 'active');

-- name: mark_failed
UPDATE projects SET status = 'failed', status_reason = %(reason)s, updated_at = now()
 WHERE id = %(project)s AND status = 'provisioning';

-- name: mark_provisioning
UPDATE projects SET status = 'provisioning', status_reason = NULL, updated_at = now()
 WHERE id = %(project)s AND status IN ('failed', 'provisioning');

-- name: mark_failed
UPDATE projects SET status = 'failed', status_reason = %(reason)s, updated_at = now()
 WHERE id = %(project)s AND status = 'restoring';

-- name: mark_active
UPDATE projects SET status = 'active', status_reason = NULL, updated_at = now()
 WHERE id = %(project)s AND status IN ('active', 'paused');

-- name: resumable
SELECT id FROM projects WHERE id = %(project)s AND status IN ('active', 'paused') FOR UPDATE;

-- name: mark_paused
UPDATE projects SET status = 'paused', status_reason = NULL, updated_at = now()
 WHERE id = %(project)s AND status IN ('active', 'paused', 'sleeping');

-- name: pausable
SELECT id FROM projects WHERE id = %(project)s AND status IN ('active', 'paused', 'sleeping') FOR UPDATE;

-- name: active
SELECT id FROM projects WHERE id = %(project)s AND status = 'active';

-- name: wakeable
SELECT id FROM projects WHERE id = %(project)s AND status IN ('sleeping', 'active') FOR UPDATE;

-- name: mark_active
UPDATE projects SET status = 'active', status_reason = NULL, updated_at = now()
 WHERE id = %(project)s AND status IN ('sleeping', 'active');

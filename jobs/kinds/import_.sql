-- name: mark_failed
UPDATE projects SET status = 'failed', status_reason = %(reason)s, updated_at = now()
 WHERE id = %(project)s AND status = 'restoring';

-- name: forget_unmade
-- Nothing was ever made of it: its id and its name are free again.
DELETE FROM projects WHERE id = %(project)s AND status = 'restoring'
   AND NOT EXISTS (SELECT FROM backups WHERE scope = %(project)s AND finished_at IS NOT NULL);

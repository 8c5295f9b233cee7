-- name: forget_unmade
-- Nothing was ever made of it: its id and its name are free again.
DELETE FROM projects WHERE id = %(project)s AND status = 'restoring'
   AND NOT EXISTS (SELECT FROM backups WHERE scope = %(project)s AND finished_at IS NOT NULL);

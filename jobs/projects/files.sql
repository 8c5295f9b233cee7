-- name: is_gone
-- Of one that the catalogue does not know, nothing is said: an older catalogue may have been restored.
SELECT status = 'deleted' AND NOT EXISTS (SELECT FROM backups WHERE scope = p.id) FROM projects p WHERE id = %(project)s;

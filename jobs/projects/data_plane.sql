-- name: project
SELECT p.pool_size, p.quota_state, coalesce(s.settings, '{}') AS settings
  FROM projects p LEFT JOIN project_settings s ON s.project_id = p.id
 WHERE p.id = %(project)s AND p.status <> ALL (%(leaving)s);

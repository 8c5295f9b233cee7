-- name: project
SELECT p.name, p.pool_size, coalesce(s.settings, '{}') AS settings
  FROM projects p LEFT JOIN project_settings s ON s.project_id = p.id
 WHERE p.id = %(project)s;

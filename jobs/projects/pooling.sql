-- name: entries
-- What the pooler has to serve: whatever a job has written down and not taken back.
SELECT r.name AS database, p.pool_size, coalesce(s.settings, '{}') AS settings
  FROM resources r
  JOIN projects p ON p.id = r.project_id AND p.status <> 'deleted'
  LEFT JOIN project_settings s ON s.project_id = p.id
 WHERE r.kind = 'pooler' AND r.state IN ('intended', 'present')
 ORDER BY r.name;

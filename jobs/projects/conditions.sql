-- name: settled
SELECT p.id, p.status, p.pool_size, coalesce(s.settings, '{}') AS settings, p.quota_state = 'over' AS read_only
  FROM projects p LEFT JOIN project_settings s ON s.project_id = p.id
 WHERE p.id = %(project)s AND p.status = ANY (%(settled)s);

-- name: drift
SELECT drift FROM projects WHERE id = %(project)s;

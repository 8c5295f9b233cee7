-- name: wanted
SELECT p.id, p.status, p.pool_size, coalesce(s.settings, '{}') AS settings
  FROM projects p LEFT JOIN project_settings s ON s.project_id = p.id
 WHERE p.id = %(project)s AND p.status = ANY (%(settled)s);

-- name: told
SELECT data ->> 'message' AS message FROM job_events WHERE job_id = %(job)s AND type = 'log'
 GROUP BY 1 ORDER BY min(id);

-- name: give_reason
UPDATE projects SET status_reason = %(reason)s, updated_at = now()
 WHERE id = %(project)s AND status IN ('active', 'paused');

-- name: clear_reason
UPDATE projects SET status_reason = NULL, updated_at = now()
 WHERE id = %(project)s AND status IN ('active', 'paused') AND status_reason LIKE 'not as it should be: %%';

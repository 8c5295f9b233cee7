-- name: wanted
SELECT p.id, p.status, p.pool_size, coalesce(s.settings, '{}') AS settings
  FROM projects p LEFT JOIN project_settings s ON s.project_id = p.id
 WHERE p.id = %(project)s AND p.status = ANY (%(settled)s);

-- name: told
SELECT data ->> 'message' AS message FROM job_events WHERE job_id = %(job)s AND type = 'log'
 GROUP BY 1 ORDER BY min(id);

-- name: keep_drift
UPDATE projects SET drift = %(drift)s WHERE id = %(project)s AND drift IS DISTINCT FROM %(drift)s;

-- name: drift
SELECT drift FROM projects WHERE id = %(project)s;

-- name: template
SELECT template FROM projects WHERE id = %(project)s;

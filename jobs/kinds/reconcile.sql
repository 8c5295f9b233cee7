-- name: wanted
SELECT p.id, p.status, p.pool_size, coalesce(s.settings, '{}') AS settings
  FROM projects p LEFT JOIN project_settings s ON s.project_id = p.id
 WHERE p.id = %(project)s AND p.status = ANY (%(settled)s);

-- name: told
SELECT data ->> 'message' AS message FROM job_events WHERE job_id = %(job)s AND type = 'log'
 GROUP BY 1 ORDER BY min(id);

-- name: give_reason
UPDATE projects SET status_reason = %(reason)s, updated_at = now()
 WHERE id = %(project)s AND status IN ('active', 'paused', 'sleeping');

-- name: settle_reason
-- What was named stays named; any other complaint is taken back.
UPDATE projects SET updated_at = now(),
       status_reason = CASE WHEN drift <> '{}' THEN 'not as it should be: ' || array_to_string(drift, '; ') END
 WHERE id = %(project)s AND status IN ('active', 'paused', 'sleeping')
   AND (drift <> '{}' AND status_reason IS NULL OR status_reason LIKE 'not as it should be: %%');

-- name: keep_drift
UPDATE projects SET drift = %(drift)s WHERE id = %(project)s AND drift IS DISTINCT FROM %(drift)s;

-- name: drift
SELECT drift FROM projects WHERE id = %(project)s;

-- name: template
SELECT template FROM projects WHERE id = %(project)s;

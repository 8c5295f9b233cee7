-- name: told
SELECT data ->> 'message' AS message FROM job_events WHERE job_id = %(job)s AND type = 'log'
 GROUP BY 1 ORDER BY min(id);

-- name: keep_drift
UPDATE projects SET drift = %(drift)s WHERE id = %(project)s AND drift IS DISTINCT FROM %(drift)s;

-- name: drift
SELECT drift FROM projects WHERE id = %(project)s;

-- name: template
SELECT template FROM projects WHERE id = %(project)s;

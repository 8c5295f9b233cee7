-- name: now
SELECT clock_timestamp();

-- name: settled
-- Projects that no job in their control lane has been changing since a moment. complains: a job has left a
-- reason that is not about what was named, or what was named is not said.
SELECT p.id, p.owner_id, p.status, p.pool_size, coalesce(s.settings, '{}') AS settings,
       p.template, p.drift, p.mistaken_logins AS mistaken, p.quota_state = 'over' AS read_only,
       ARRAY(SELECT k.login FROM kept_out_logins k WHERE k.project_id = p.id AND k.ends_at > now()) AS kept_out,
       CASE WHEN p.status_reason IS NULL THEN p.drift <> '{}'
            ELSE p.status_reason LIKE 'not as it should be: %%'
                 AND p.status_reason <> 'not as it should be: ' || array_to_string(p.drift, '; ') END AS complains
  FROM projects p LEFT JOIN project_settings s ON s.project_id = p.id
 WHERE p.status = ANY (%(settled)s) AND p.updated_at < %(now)s
   AND NOT EXISTS (SELECT FROM jobs j WHERE j.lane = p.id || '/control'
                      AND j.status IN ('queued', 'retrying', 'running', 'cancelling'))
   AND NOT EXISTS (SELECT FROM jobs j WHERE j.project_id = p.id AND j.finished_at >= %(now)s);

-- name: resting
-- Whether the same was not to be mended a little while ago, or somebody else has seen it since we looked.
SELECT EXISTS (SELECT FROM jobs j WHERE j.project_id = %(project)s AND j.kind = 'project.reconcile'
                  AND (j.status IN ('queued', 'retrying', 'running', 'cancelling')
                       OR j.status IN ('failed', 'cancelled') AND j.args -> 'found' = to_jsonb(%(found)s::text[])
                      AND j.finished_at > now() - %(minutes)s * interval '1 minute'));

-- name: known
-- Projects that something may stand for: not deleted, or deleted only now, or still seen to by a job.
SELECT id FROM projects WHERE id = ANY (%(projects)s) AND (status <> 'deleted' OR deleted_at >= %(now)s)
UNION
SELECT project_id FROM jobs
 WHERE project_id = ANY (%(projects)s) AND (status IN ('queued', 'retrying', 'running', 'cancelling')
                                            OR finished_at >= %(now)s);

-- name: named
SELECT EXISTS (SELECT FROM audit WHERE project_id = %(project)s AND action = 'drift.stray'
                  AND detail ->> 'kind' = %(kind)s AND detail ->> 'name' = %(name)s AND at > now() - interval '1 day');

-- name: keep_mistaken
UPDATE projects SET mistaken_logins = %(found)s WHERE id = %(project)s;

-- name: write
-- Only who holds the job may write: an old fence finds no job row and so writes nothing.
INSERT INTO resources (kind, name, project_id, job_id, step, fence, state)
SELECT %(kind)s, name, %(project)s, jobs.id, %(step)s, jobs.fence, %(state)s
  FROM jobs, unnest(%(names)s::text[]) AS name
 WHERE jobs.id = %(job)s AND jobs.fence = %(fence)s AND jobs.status IN ('running', 'cancelling')
ON CONFLICT (kind, name) DO UPDATE
   SET project_id = excluded.project_id, job_id = excluded.job_id, step = excluded.step, fence = excluded.fence,
       state = excluded.state, updated_at = now();

-- name: of_project
SELECT kind, name, state FROM resources WHERE project_id = %(project)s ORDER BY kind, name;

-- name: forget
DELETE FROM resources r USING jobs j
 WHERE j.id = %(job)s AND j.fence = %(fence)s AND j.status IN ('running', 'cancelling')
   AND r.project_id = %(project)s AND r.kind = %(kind)s AND r.name = ANY (%(names)s::text[]);

-- name: may_sleep
-- What was last done to a project is a change of it, or a job: it has been quiet since, by the database's clock.
SELECT p.id, p.owner_id, s.settings,
       extract(epoch FROM now() - greatest(p.updated_at, (
           SELECT max(j.finished_at) FROM jobs j WHERE j.lane = p.id || '/control' AND j.project_id = p.id)))::float AS quiet
  FROM projects p JOIN project_settings s ON s.project_id = p.id
 WHERE p.status = 'active' AND s.settings ? 'idleMinutes'
   AND NOT EXISTS (SELECT FROM jobs j WHERE j.lane = p.id || '/control'
                      AND j.status IN ('queued', 'retrying', 'running', 'cancelling'));

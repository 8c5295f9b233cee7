-- name: quiet
-- How long ago the project was last changed, or a job saw to it, by the database's clock.
SELECT extract(epoch FROM now() - greatest(p.updated_at, (
           SELECT max(j.finished_at) FROM jobs j WHERE j.lane = p.id || '/control' AND j.project_id = p.id)))::float AS quiet,
       coalesce(s.settings, '{}') AS settings
  FROM projects p LEFT JOIN project_settings s ON s.project_id = p.id
 WHERE p.id = %(project)s AND p.status = 'active';

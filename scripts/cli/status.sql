-- name: scheduler
-- A scheduler has no row of its own: its pool's sessions tell that it lives.
SELECT EXISTS (SELECT FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'launchdb-scheduler');

-- name: projects
SELECT status, count(*) AS count FROM projects WHERE status <> 'deleted' GROUP BY status ORDER BY status;

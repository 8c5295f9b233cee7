-- name: scheduler
-- A scheduler has no row of its own: its pool's sessions tell that it lives.
SELECT EXISTS (SELECT FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'launchdb-scheduler');

-- name: projects
SELECT status, count(*) AS count FROM projects WHERE status <> 'deleted' GROUP BY status ORDER BY status;

-- name: postgres_since
SELECT pg_postmaster_start_time();

-- name: last
-- The newest success of each schedule's kind, whoever asked for it; as long as its row is kept.
SELECT s.name, (SELECT max(j.finished_at) FROM jobs j WHERE j.kind = s.kind AND j.status = 'succeeded'
                   AND j.finished_at IS NOT NULL) AS succeeded_at
  FROM schedules s WHERE s.enabled ORDER BY s.name;

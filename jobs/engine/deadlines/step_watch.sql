-- name: cancelling
SELECT id FROM jobs WHERE id = ANY (%(ids)s) AND status = 'cancelling';

-- name: blockers
-- Who holds the lock that a session of an attempt waits for.
SELECT waiting.application_name AS session, holder.usename AS login
  FROM pg_stat_activity waiting CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocked (pid)
  JOIN pg_stat_activity holder ON holder.pid = blocked.pid
 WHERE waiting.application_name = ANY (%(sessions)s) AND waiting.wait_event_type = 'Lock' AND holder.usename IS NOT NULL;

-- name: end_sessions
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE application_name = %(session)s AND pid <> pg_backend_pid();

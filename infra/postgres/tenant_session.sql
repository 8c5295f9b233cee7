-- name: end
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
 WHERE pid = %(pid)s AND usename = %(login)s AND datname = %(database)s AND backend_type = 'client backend';

-- name: end_pooled
-- The pooler gives its clients numbers of its own.
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
 WHERE application_name = %(session)s AND usename = %(login)s AND datname = %(database)s AND state <> 'idle';

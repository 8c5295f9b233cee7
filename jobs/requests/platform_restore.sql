-- name: rest
-- What was under way when the backup was made is not gone on with: nobody knows what has become of it since.
UPDATE jobs SET status = 'cancelled', ready = false, parked = false, worker = NULL, leased_until = NULL,
       finished_at = now(), cancel_reason = 'the platform was restored from a backup'
 WHERE status IN ('queued', 'running', 'retrying', 'cancelling');

-- name: forget_workers
DELETE FROM workers;

-- name: create
CREATE DATABASE {database} TEMPLATE template0;

-- name: close
REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM PUBLIC;

-- name: drop
DROP DATABASE IF EXISTS {database} WITH (FORCE);

-- name: look
-- One that is half dropped can only be dropped.
SELECT datconnlimit <> -2 FROM pg_database WHERE datname = %(name)s;

-- name: end_sessions
SELECT count(*) FROM (SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
                       WHERE datname = ANY (%(names)s) AND pid <> pg_backend_pid()) AS ended;

-- name: forbid
ALTER DATABASE {database} ALLOW_CONNECTIONS false;

-- name: allow
ALTER DATABASE {database} ALLOW_CONNECTIONS true;

-- name: rename
ALTER DATABASE {database} RENAME TO {other};

-- name: settled
SELECT id, owner_id FROM projects WHERE status = ANY (%(settled)s) ORDER BY id;

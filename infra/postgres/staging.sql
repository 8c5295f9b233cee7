-- name: look
SELECT d.datname, shobj_description(d.oid, 'pg_database') AS label, pg_get_userbyid(d.datdba) AS owner,
       d.datconnlimit AS connections
  FROM pg_database d WHERE d.datname = %(name)s;

-- name: create
CREATE DATABASE {database} WITH OWNER {owner} TEMPLATE {template} STRATEGY wal_log CONNECTION LIMIT 0;

-- name: label
COMMENT ON DATABASE {database} IS {label};

-- name: close
-- Until this is done, the limit keeps everybody out but a superuser.
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
ALTER DATABASE {database} CONNECTION LIMIT -1;

-- name: admit
GRANT CONNECT ON DATABASE {database} TO {login};

-- name: open
ALTER DATABASE {database} ALLOW_CONNECTIONS true;

-- name: end_sessions
-- Ends who does nothing, and with `busy` all; for each up to a second.
SELECT count(pg_terminate_backend(pid, 1000)) FROM pg_stat_activity
 WHERE datname = ANY (%(names)s) AND pid <> pg_backend_pid() AND backend_type = 'client backend'
   AND (%(busy)s OR state = 'idle');

-- name: rename
ALTER DATABASE {name} RENAME TO {other};

-- name: drop
DROP DATABASE IF EXISTS {database} WITH (FORCE);

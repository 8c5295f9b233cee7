-- name: look
SELECT datistemplate AND NOT datallowconn AND datconnlimit <> -2 FROM pg_database WHERE datname = %(name)s;

-- name: lock
-- A session lock: CREATE DATABASE cannot run inside a transaction.
SELECT pg_advisory_lock(19524, 2);

-- name: unlock
SELECT pg_advisory_unlock(19524, 2);

-- name: half_dropped
-- What an interrupted DROP DATABASE has left: it can be dropped and nothing else.
SELECT EXISTS (SELECT FROM pg_database WHERE datname = %(name)s AND datconnlimit = -2);

-- name: exists
SELECT EXISTS (SELECT FROM pg_database WHERE datname = %(name)s);

-- name: build
CREATE DATABASE {database} WITH OWNER launchdb_platform TEMPLATE template0 CONNECTION LIMIT 0;

-- name: prepare
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
CREATE SCHEMA IF NOT EXISTS launchdb;

-- name: seal
ALTER DATABASE {database} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false;

-- name: unseal
ALTER DATABASE {database} WITH IS_TEMPLATE false;

-- name: publish
ALTER DATABASE {database} RENAME TO {name};

-- name: label
COMMENT ON DATABASE {database} IS 'launchdb:template';

-- name: drop
DROP DATABASE IF EXISTS {database} WITH (FORCE);

-- name: others
SELECT datname FROM pg_database
 WHERE datname ~ '^template_[0-9a-f]{16}$' AND pg_get_userbyid(datdba) = 'launchdb_platform'
   AND datname <> ALL (%(served)s);

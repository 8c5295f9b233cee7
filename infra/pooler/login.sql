-- name: lock
-- Starters of several processes meet here; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(19524, 2);

-- name: look
-- may_connect, may_ask: whether it has what it needs; more: whether it has what it does not need.
SELECT a.rolpassword AS password,
       a.rolcanlogin AND NOT (a.rolsuper OR a.rolcreaterole OR a.rolcreatedb OR a.rolreplication OR a.rolbypassrls)
           AND (a.rolvaliduntil IS NULL OR a.rolvaliduntil = 'infinity') AS plain,
       has_database_privilege(a.oid, %(platform)s, 'CONNECT')
           AND pg_has_role(a.oid, 'pg_use_reserved_connections', 'USAGE') AS may_connect
  FROM pg_authid a WHERE a.rolname = 'launchdb_pooler';

-- name: make
{verb} ROLE launchdb_pooler WITH LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    VALID UNTIL 'infinity' PASSWORD {password};

-- name: admit
GRANT CONNECT ON DATABASE {platform} TO launchdb_pooler;

-- name: reserve
-- Where projects have taken every other connection, those who are let into one that is open have to be looked up all the same.
GRANT pg_use_reserved_connections TO launchdb_pooler WITH INHERIT TRUE;

-- name: may_ask
SELECT has_schema_privilege('launchdb_pooler', 'pgbouncer', 'USAGE')
   AND has_function_privilege('launchdb_pooler', 'pgbouncer.get_auth(text)', 'EXECUTE');

-- name: let_ask
GRANT USAGE ON SCHEMA pgbouncer TO launchdb_pooler;
GRANT EXECUTE ON FUNCTION pgbouncer.get_auth(text) TO launchdb_pooler;

-- name: administrator
SELECT rolname, rolpassword FROM pg_authid WHERE rolname = session_user AND rolpassword IS NOT NULL;

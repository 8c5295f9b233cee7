-- name: lock
-- Starters of several processes meet here; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(19524, 3);

-- name: look
-- mighty: whether it has what no service of ours has; stray: roles that it is a member of, without what it needs.
SELECT a.rolname AS name, a.rolpassword AS password, a.rolcanlogin AS login,
       a.rolsuper OR a.rolcreaterole OR a.rolcreatedb OR a.rolreplication OR a.rolbypassrls
           OR a.rolvaliduntil < 'infinity' AS mighty,
       has_database_privilege(a.oid, %(platform)s, 'CONNECT') AS may_connect,
       (SELECT coalesce(array_agg(m.roleid::regrole::text), '{}') FROM pg_auth_members m WHERE m.member = a.oid) AS memberships
  FROM pg_authid a WHERE a.rolname = ANY (%(names)s);

-- name: make
ALTER ROLE {role} WITH LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    VALID UNTIL 'infinity' PASSWORD {password};

-- name: admit
GRANT CONNECT ON DATABASE {database} TO {role};

-- name: grant
GRANT {granted} TO {role} WITH INHERIT TRUE, SET FALSE;

-- name: take_back
REVOKE {granted} FROM {role} CASCADE;

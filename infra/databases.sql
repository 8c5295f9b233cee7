-- name: look_at_roles
-- The shared roles come along, so that a missing one costs no look of its own.
SELECT a.rolname AS name, a.rolcanlogin AS login, a.rolinherit AS inherit, a.rolbypassrls AS bypass,
       a.rolsuper OR a.rolcreaterole OR a.rolcreatedb OR a.rolreplication AS mighty, a.rolpassword AS password,
       shobj_description(a.oid, 'pg_authid') AS label,
       (SELECT s.setconfig FROM pg_db_role_setting s WHERE s.setrole = a.oid AND s.setdatabase = 0) AS settings,
       (SELECT coalesce(array_agg(g.rolname::text), '{}') FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
         WHERE m.member = a.oid) AS member_of
  FROM pg_authid a WHERE a.rolname = ANY (%(names)s);

-- name: shared_role
CREATE ROLE {role} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

-- name: shared_lock
-- Starters of several processes meet here; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(19524, 1);

-- name: missing_shared
SELECT name FROM unnest(%(names)s::text[]) AS name WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name);

-- name: open_to_public
SELECT datname FROM pg_database
 WHERE datname = ANY (%(names)s)
   AND (has_database_privilege('public', oid, 'CONNECT') OR has_database_privilege('public', oid, 'TEMP'));

-- name: close_to_public
REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM PUBLIC;

-- name: make_role
{verb} ROLE {role} WITH {login} {inherit} {bypass} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION {password};

-- name: label_role
COMMENT ON ROLE {role} IS {label};

-- name: reset_role
ALTER ROLE {role} RESET ALL;

-- name: role_setting
ALTER ROLE {role} SET {setting} = {value};

-- name: memberships
-- The shared roles last: granting one holds a lock on it until the end, and every project grants the same ones.
GRANT {anon}, {authenticated}, {service} TO {authenticator}, {storage} WITH INHERIT FALSE, SET TRUE;
GRANT {auth}, {storage} TO {owner} WITH INHERIT TRUE, SET FALSE;
GRANT {owner} TO {dump} WITH INHERIT TRUE, SET FALSE;
GRANT anon TO {anon} WITH INHERIT TRUE, SET FALSE;
GRANT authenticated TO {authenticated} WITH INHERIT TRUE, SET FALSE;
GRANT service_role TO {service} WITH INHERIT TRUE, SET FALSE;
GRANT launchdb_owner TO {owner} WITH INHERIT TRUE, SET FALSE;

-- name: look_at_database
-- datconnlimit −2 marks what an interrupted DROP DATABASE has left. The template's readiness comes along.
SELECT d.datname IS NOT NULL AS present, d.datconnlimit AS connections, d.datallowconn AS open,
       pg_get_userbyid(d.datdba) AS owner, shobj_description(d.oid, 'pg_database') AS label,
       has_database_privilege('public', d.oid, 'CONNECT') OR has_database_privilege('public', d.oid, 'TEMP') AS public,
       (SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = d.oid AND setrole = 0) AS settings,
       EXISTS (SELECT FROM pg_database t
                WHERE t.datname = %(template)s AND t.datistemplate AND NOT t.datallowconn) AS template_ready
  FROM (SELECT 1) AS once LEFT JOIN pg_database d ON d.datname = %(name)s;

-- name: copy_template
-- Nobody may connect until PUBLIC has lost its rights: CREATE DATABASE does not copy the template's.
CREATE DATABASE {database} WITH OWNER launchdb_platform TEMPLATE {template} STRATEGY wal_log CONNECTION LIMIT 0;

-- name: furnish
-- One message, one transaction: a copy is either whole, which its connection limit tells, or furnished anew.
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {authenticator}, {auth}, {storage}, {dump};
GRANT CONNECT, TEMPORARY, CREATE ON DATABASE {database} TO {owner};
COMMENT ON DATABASE {database} IS {label};
REASSIGN OWNED BY launchdb_tpl_public TO {owner};
REASSIGN OWNED BY launchdb_tpl_auth TO {auth};
REASSIGN OWNED BY launchdb_tpl_storage TO {storage};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public
    GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public
    GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public
    GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;

-- name: database_setting
ALTER DATABASE {database} SET {setting} = {value};

-- name: search_path
ALTER DATABASE {database} SET search_path = "$user", public, extensions;

-- name: limit_connections
ALTER DATABASE {database} CONNECTION LIMIT {connections};

-- name: forbid_connections
ALTER DATABASE {database} ALLOW_CONNECTIONS false;

-- name: drop_database
DROP DATABASE IF EXISTS {database} WITH (FORCE);

-- name: drop_roles
DROP ROLE IF EXISTS {roles};

-- name: depends_on
-- Databases in which something belongs to one of these roles or names it in its rights; null: something shared.
SELECT DISTINCT d.datname AS database FROM pg_shdepend s
  JOIN pg_authid a ON a.oid = s.refobjid AND s.refclassid = 'pg_authid'::regclass
  LEFT JOIN pg_database d ON d.oid = s.dbid
 WHERE a.rolname = ANY (%(names)s);

-- name: drop_owned
DROP OWNED BY {roles};

-- name: labelled
-- Everything on the server that bears our label; a database that was made but not yet labelled is known by its owner.
SELECT 'database' AS kind, datname AS name, substr(label, 10) AS project_id FROM (
    SELECT datname, coalesce(shobj_description(oid, 'pg_database'), 'launchdb:' || datname) AS label
      FROM pg_database WHERE pg_get_userbyid(datdba) = 'launchdb_platform' AND NOT datistemplate) AS d
 WHERE label LIKE 'launchdb:proj\_%%'
UNION ALL
SELECT 'role', rolname, substr(shobj_description(oid, 'pg_authid'), 10) FROM pg_roles
 WHERE shobj_description(oid, 'pg_authid') LIKE 'launchdb:proj\_%%'
 ORDER BY 1, 2;

-- name: prove
-- As the data API would, in one message: the service key writes past row security, a visitor does not see it, and
-- nothing stays. The names are the only outside values.
BEGIN;
SET LOCAL ROLE {service};
INSERT INTO storage.buckets (id, name) VALUES ('launchdb-proof', 'launchdb-proof');
SELECT count(*) FROM storage.buckets WHERE id = 'launchdb-proof';
SET LOCAL ROLE {anon};
SELECT count(*) FROM storage.buckets WHERE id = 'launchdb-proof';
SET LOCAL ROLE {authenticated};
SELECT count(*) FROM storage.buckets WHERE id = 'launchdb-proof';
ROLLBACK;

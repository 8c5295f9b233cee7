-- name: look_at_database
-- One database, or with no name every one that is named as a project's. datconnlimit −2 marks what an interrupted
-- DROP DATABASE has left. The template's readiness comes along.
SELECT d.datname AS name, d.datname IS NOT NULL AS present, d.datconnlimit AS connections, d.datallowconn AS open,
       d.datistemplate AS template, pg_get_userbyid(d.datdba) AS owner, shobj_description(d.oid, 'pg_database') AS label,
       (SELECT coalesce(array_agg(CASE a.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END
                                  || ':' || a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END), '{}')
          FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
         WHERE a.grantee <> d.datdba AND (a.grantee = 0 OR pg_get_userbyid(a.grantee) <> d.datname || '_upgrade')) AS rights,
       (SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = d.oid AND setrole = 0) AS settings,
       (SELECT coalesce(jsonb_object_agg(rolname, rolconnlimit), '{}') FROM pg_authid
         WHERE rolname IN (d.datname || '_owner', d.datname || '_authenticator', d.datname || '_auth',
                           d.datname || '_storage')) AS logins,
       coalesce(s.sessions, 0) AS sessions,
       EXISTS (SELECT FROM pg_database t
                WHERE t.datname = %(template)s AND t.datistemplate AND NOT t.datallowconn AND t.datconnlimit <> -2) AS template_ready
  FROM (SELECT 1) AS once
  LEFT JOIN pg_database d ON d.datname = %(name)s OR %(name)s::text IS NULL AND d.datname ~ '^proj_[0-9a-f]{16}$'
  LEFT JOIN (SELECT datid, count(*) AS sessions FROM pg_stat_activity
              WHERE usename ~ '^proj_[0-9a-f]{16}_(owner|authenticator|auth|storage)$' GROUP BY datid) AS s
    ON s.datid = d.oid;

-- name: look_at_many
-- The planner takes our catalogues for small; for hundreds of projects joins have to be hashed.
SELECT set_config('enable_nestloop', 'off', true), set_config('jit', 'off', true);

-- name: copy_template
-- Nobody may connect until PUBLIC has lost its rights: CREATE DATABASE does not copy the template's.
CREATE DATABASE {database} WITH OWNER launchdb_platform TEMPLATE {template} STRATEGY wal_log CONNECTION LIMIT 0;

-- name: furnish
-- One message, one transaction: a copy is either whole, which its connection limit tells, or furnished anew.
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

-- name: own
ALTER DATABASE {database} OWNER TO launchdb_platform;

-- name: revoke
REVOKE ALL ON DATABASE {database} FROM {grantees} CASCADE;

-- name: grant_closed
-- What stays while a project is paused: backups are still made.
GRANT CONNECT ON DATABASE {database} TO {dump};
GRANT TEMPORARY, CREATE ON DATABASE {database} TO {owner};
GRANT TEMPORARY ON DATABASE {database} TO {anon}, {authenticated}, {service};

-- name: shut_out
REVOKE CONNECT ON DATABASE {database} FROM PUBLIC, {owner}, {authenticator}, {auth}, {storage};

-- name: grant_connect
GRANT CONNECT ON DATABASE {database} TO {owner}, {authenticator}, {auth}, {storage};

-- name: sessions
-- Ends the sessions of a project's logins, backups excepted, and waits for each up to a second; says how many there were.
SELECT count(*) FROM (
    SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
     WHERE datname = %(name)s AND usename = ANY (%(logins)s)) AS ended;

-- name: admit
ALTER DATABASE {database} WITH ALLOW_CONNECTIONS true IS_TEMPLATE false;

-- name: reset
ALTER DATABASE {database} RESET ALL;

-- name: forbid_connections
ALTER DATABASE {database} ALLOW_CONNECTIONS false;

-- name: drop_database
DROP DATABASE IF EXISTS {database} WITH (FORCE);

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
-- nothing stays, also where sessions begin read-only. The names are the only outside values.
BEGIN READ WRITE;
SET LOCAL ROLE {service};
INSERT INTO storage.buckets (id, name) VALUES ('launchdb-proof', 'launchdb-proof');
SELECT count(*) FROM storage.buckets WHERE id = 'launchdb-proof';
SET LOCAL ROLE {anon};
SELECT count(*) FROM storage.buckets WHERE id = 'launchdb-proof';
SET LOCAL ROLE {authenticated};
SELECT count(*) FROM storage.buckets WHERE id = 'launchdb-proof';
ROLLBACK;

-- name: look
SELECT rolname, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = ANY (%(names)s);

-- name: make_login
-- It inherits nothing by itself: a file says for each of its parts as whom it acts.
CREATE ROLE {login} LOGIN NOINHERIT NOBYPASSRLS NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION
    CONNECTION LIMIT 1 PASSWORD {password};
COMMENT ON ROLE {login} IS {label};

-- name: make_part
-- What a file makes is made by this one, so that the project's own default privileges do not touch it, as they did not in
-- the template.
CREATE ROLE {part} NOLOGIN INHERIT NOBYPASSRLS NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
COMMENT ON ROLE {part} IS {label};
GRANT {of} TO {part} WITH INHERIT TRUE, SET FALSE;
GRANT {part} TO {login} WITH INHERIT FALSE, SET TRUE;

-- name: admit
-- The ledger's line comes with what it is about.
GRANT CONNECT, CREATE ON DATABASE {database} TO {login};
GRANT USAGE ON SCHEMA launchdb TO {login};
GRANT SELECT, INSERT ON launchdb.schema_migrations TO {login};

-- name: end_sessions
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %(login)s;

-- name: depends_on
SELECT DISTINCT d.datname FROM pg_shdepend s
  JOIN pg_authid a ON a.oid = s.refobjid AND s.refclassid = 'pg_authid'::regclass
  JOIN pg_database d ON d.oid = coalesce(nullif(s.dbid, 0), CASE WHEN s.classid = 'pg_database'::regclass THEN s.objid END)
 WHERE a.rolname = ANY (%(names)s) AND d.datconnlimit <> -2;

-- name: give
REASSIGN OWNED BY {part} TO {of};

-- name: drop_owned
DROP OWNED BY {roles};

-- name: drop
DROP ROLE IF EXISTS {roles};

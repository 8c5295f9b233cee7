-- name: hollow
-- A copy of the template without what the dump brings: its schemas, what was granted on public, the noise of its
-- event triggers. No tenant has been here.
ALTER SCHEMA public OWNER TO {owner};
REVOKE ALL ON SCHEMA public FROM PUBLIC, anon, authenticated, service_role, {owner};
GRANT ALL ON SCHEMA public TO {owner};
GRANT USAGE ON SCHEMA public TO PUBLIC;
ALTER EVENT TRIGGER launchdb_schema_changed DISABLE;
ALTER EVENT TRIGGER launchdb_schema_dropped DISABLE;

-- name: drop_schema
DROP SCHEMA IF EXISTS {schema} CASCADE;

-- name: give
-- What of the template stays is the project's, as in a new one.
REASSIGN OWNED BY launchdb_tpl_public TO {owner};
REASSIGN OWNED BY launchdb_tpl_auth TO {auth};
REASSIGN OWNED BY launchdb_tpl_storage TO {storage};

-- name: admit_restorer
GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {database} TO {restorer};
GRANT CREATE ON DATABASE {database} TO {owner};
GRANT CONNECT ON DATABASE {database} TO {dump};

-- name: restorer
{verb} ROLE {restorer} WITH LOGIN INHERIT NOBYPASSRLS NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION
    CONNECTION LIMIT 2 PASSWORD {password};

-- name: label_role
COMMENT ON ROLE {restorer} IS {label};

-- name: memberships
GRANT {roles} TO {restorer} WITH INHERIT TRUE, SET TRUE;

-- name: no_member
REVOKE {dump} FROM {restorer};

-- name: role
SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %(name)s;

-- name: settle
-- What the login that restores has made is its owner's; from now on changes of the schema are stamped again.
REASSIGN OWNED BY {restorer} TO {owner};
DROP OWNED BY {restorer};
ALTER EVENT TRIGGER launchdb_schema_changed ENABLE;
ALTER EVENT TRIGGER launchdb_schema_dropped ENABLE;

-- name: mark
-- By this a finished restore is known, whatever the database is called by then.
COMMENT ON SCHEMA launchdb IS {mark};

-- name: marked
SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'launchdb';

-- name: stamp
-- Another schema than any that was ever served under this project's id: whoever has the old one cached has to see that.
INSERT INTO launchdb.schema_version (changes) VALUES (1000 * extract(epoch FROM clock_timestamp())::bigint);

-- name: extension
CREATE EXTENSION IF NOT EXISTS {name} WITH SCHEMA {schema};

-- name: drop_owned
DROP OWNED BY {restorer};

-- name: drop_role
DROP ROLE IF EXISTS {restorer};

-- name: depends_on
SELECT DISTINCT d.datname FROM pg_shdepend s
  JOIN pg_authid a ON a.oid = s.refobjid AND s.refclassid = 'pg_authid'::regclass
  JOIN pg_database d ON d.oid = s.dbid
 WHERE a.rolname = %(name)s AND d.datconnlimit <> -2;

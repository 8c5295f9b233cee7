-- name: exists
SELECT 1 FROM pg_roles WHERE rolname = %(name)s;

-- name: make
CREATE ROLE {role} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
COMMENT ON ROLE {role} IS {label};
GRANT {role} TO {restorer} WITH INHERIT TRUE, SET TRUE;

-- name: take_out
-- As when a role goes: nothing is dropped that it owned, and no right or policy names it any more.
REASSIGN OWNED BY {role} TO {owner};
DROP OWNED BY {role};

-- name: leftover
SELECT rolname FROM pg_roles
 WHERE rolname ~ ('^' || %(prefix)s || '_[0-9]+$') AND shobj_description(oid, 'pg_authid') = %(label)s;

-- name: depends_on
SELECT DISTINCT d.datname FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid
 WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = %(name)s)
   AND d.datconnlimit <> -2;

-- name: drop_owned
DROP OWNED BY {role};

-- name: drop
DROP ROLE IF EXISTS {role};

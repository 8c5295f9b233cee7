-- name: look
-- How many sessions a login may have is its database's affair, where a tenant could take them all.
-- The named roles, or with no names every one that is named as a project's. The shared ones come along, so that a
-- missing one costs no look of its own. set_in: the databases in which a role has settings of their own.
WITH wanted AS MATERIALIZED (
    SELECT * FROM pg_authid
     WHERE rolname = ANY (%(names)s) OR %(names)s::text[] IS NULL AND rolname ~ '^proj_[0-9a-f]{16}_'),
edge AS (
    SELECT w.oid AS role, m.* FROM wanted w JOIN pg_auth_members m ON m.member = w.oid
    UNION ALL
    -- The logins that restore a backup and apply our files are members of them for as long as that takes.
    SELECT w.oid, m.* FROM wanted w JOIN pg_auth_members m ON m.roleid = w.oid
     WHERE w.rolname ~ '^proj_' AND pg_get_userbyid(m.member) !~ '^proj_[0-9a-f]{16}_(restore$|upgrade)'),
membership AS (
    SELECT role, jsonb_agg(jsonb_build_array(pg_get_userbyid(roleid), pg_get_userbyid(member), concat(
               CASE WHEN inherit_option THEN 'i' END, CASE WHEN set_option THEN 's' END,
               CASE WHEN admin_option THEN 'a' END), pg_get_userbyid(grantor))) AS edges
      FROM edge GROUP BY role),
setting AS (
    SELECT s.setrole, max(s.setconfig) FILTER (WHERE s.setdatabase = 0) AS settings,
           array_agg(d.datname::text) FILTER (WHERE d.oid IS NOT NULL) AS set_in
      FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase
     WHERE s.setrole <> 0 GROUP BY s.setrole)
SELECT a.rolname AS name, a.rolcanlogin AS login, a.rolinherit AS inherit, a.rolbypassrls AS bypass,
       a.rolsuper OR a.rolcreaterole OR a.rolcreatedb OR a.rolreplication AS mighty, a.rolpassword AS password,
       a.rolconnlimit <> -1 AND a.rolname !~ '_(owner|authenticator|auth|storage)$' OR a.rolvaliduntil < 'infinity' AS bounded, c.description AS label,
       s.settings, coalesce(s.set_in, '{}') AS set_in, coalesce(m.edges, '[]') AS memberships
  FROM wanted a
  LEFT JOIN pg_shdescription c ON c.objoid = a.oid AND c.classoid = 'pg_authid'::regclass
  LEFT JOIN setting s ON s.setrole = a.oid
  LEFT JOIN membership m ON m.role = a.oid;

-- name: make_shared
CREATE ROLE {role} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

-- name: lock_shared
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

-- name: make
{verb} ROLE {role} WITH {login} {inherit} {bypass} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION
    VALID UNTIL 'infinity' {password};

-- name: unbounded
ALTER ROLE {role} CONNECTION LIMIT -1;

-- name: label
COMMENT ON ROLE {role} IS {label};

-- name: reset
ALTER ROLE {role} RESET ALL;

-- name: reset_in
ALTER ROLE {role} IN DATABASE {database} RESET ALL;

-- name: take_back
REVOKE {granted} FROM {member} GRANTED BY {grantor} CASCADE;

-- name: setting
ALTER ROLE {role} SET {setting} = {value};

-- name: memberships
-- The shared roles last: granting one holds a lock on it until the end, and every project grants the same ones.
GRANT {anon}, {authenticated}, {service} TO {authenticator}, {storage} WITH INHERIT FALSE, SET TRUE;
GRANT {auth}, {storage} TO {owner} WITH INHERIT TRUE, SET FALSE;
GRANT {owner} TO {dump} WITH INHERIT TRUE, SET FALSE;
GRANT pg_read_all_data TO {dump} WITH INHERIT TRUE, SET FALSE;
GRANT anon TO {anon} WITH INHERIT TRUE, SET FALSE;
GRANT authenticated TO {authenticated} WITH INHERIT TRUE, SET FALSE;
GRANT service_role TO {service} WITH INHERIT TRUE, SET FALSE;
GRANT launchdb_owner TO {owner} WITH INHERIT TRUE, SET FALSE;

-- name: drop
DROP ROLE IF EXISTS {roles};

-- name: depends_on
-- Databases in which something belongs to one of these roles or names it in its rights; null: something shared. Nobody
-- gets into one that is half dropped: it goes first.
SELECT DISTINCT d.datname AS database FROM pg_shdepend s
  JOIN pg_authid a ON a.oid = s.refobjid AND s.refclassid = 'pg_authid'::regclass
  LEFT JOIN pg_database d ON d.oid = s.dbid
 WHERE a.rolname = ANY (%(names)s) AND d.datconnlimit IS DISTINCT FROM -2;

-- name: drop_owned
DROP OWNED BY {roles};

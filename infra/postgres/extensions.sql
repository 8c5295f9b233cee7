-- name: offered
-- What needs to be loaded at the server's start and is not, would only fail when it is used.
-- What one that is not trusted requires lies beside it, though an owner could create it: its script finds things there.
SELECT a.name, a.default_version AS version, coalesce(v.trusted, false) AS trusted, EXISTS (
           SELECT FROM pg_available_extensions o JOIN pg_available_extension_versions u
               ON u.name = o.name AND u.version = o.default_version
            WHERE NOT u.trusted AND o.name = ANY (%(names)s) AND a.name = ANY (u.requires)) AS required,
       a.name <> 'pg_stat_statements'
       OR current_setting('shared_preload_libraries') ~ '(^|,)\s*pg_stat_statements\s*(,|$)' AS loaded
  FROM pg_available_extensions a
  LEFT JOIN pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version
 WHERE a.name = ANY (%(names)s) OR v.trusted;

-- name: installed
SELECT e.extname AS name, a.default_version AS version, pg_catalog.pg_has_role(e.extowner, 'USAGE') AS trusted,
       true AS loaded, e.extversion AS installed, n.nspname AS schema
  FROM pg_catalog.pg_extension e
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
  LEFT JOIN pg_catalog.pg_available_extensions a ON a.name OPERATOR(pg_catalog.=) e.extname;

-- name: schema
SELECT pg_catalog.to_regnamespace('extensions') IS NOT NULL
       AND pg_catalog.has_schema_privilege('extensions', 'CREATE');

-- name: create
CREATE EXTENSION IF NOT EXISTS {name} SCHEMA {schema};

-- name: schema_of_untrusted
CREATE SCHEMA IF NOT EXISTS launchdb_extensions;

-- name: is_administrators
-- No tenant may give anything to a superuser.
SELECT r.rolsuper FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) n.nspowner
 WHERE n.nspname OPERATOR(pg_catalog.=) 'launchdb_extensions';

-- name: schemas_of_script
-- Where an extension's script finds what it names: the schema that it is made in, and those of what it requires. Whether
-- nobody but a superuser can put something there, and what lies there already that belongs to no extension.
WITH wanted AS (
    SELECT 'launchdb_extensions' AS name
    UNION
    SELECT e.extnamespace::regnamespace::text
      FROM pg_available_extensions a JOIN pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version
     CROSS JOIN unnest(v.requires) AS required (name) JOIN pg_extension e ON e.extname = required.name
     WHERE a.name = %(name)s AND e.extnamespace <> 'pg_catalog'::regnamespace)
SELECT n.nspname AS name,
       r.rolsuper AND NOT EXISTS (
           SELECT FROM aclexplode(n.nspacl) a LEFT JOIN pg_roles g ON g.oid = a.grantee
            WHERE a.privilege_type = 'CREATE' AND g.rolsuper IS NOT TRUE) AS closed,
       (SELECT pg_describe_object(d.classid, d.objid, 0) FROM pg_depend d
         WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid AND d.classid <> 'pg_extension'::regclass
           AND NOT EXISTS (SELECT FROM pg_depend e WHERE (e.classid, e.objid, e.deptype) = (d.classid, d.objid, 'e'))
         ORDER BY 1 LIMIT 1) AS stranger
  FROM wanted w JOIN pg_namespace n ON n.oid = to_regnamespace(w.name) JOIN pg_roles r ON r.oid = n.nspowner;

-- name: create_untrusted
GRANT USAGE ON SCHEMA launchdb_extensions TO PUBLIC;
CREATE EXTENSION IF NOT EXISTS {name} SCHEMA launchdb_extensions;

-- name: drop
DROP EXTENSION IF EXISTS {name} RESTRICT;

-- name: drop_cascade
DROP EXTENSION IF EXISTS {name} CASCADE;

-- name: load
LOAD {library};

-- name: offered
-- What needs to be loaded at the server's start and is not, would only fail when it is used.
SELECT a.name, a.default_version AS version, coalesce(v.trusted, false) AS trusted,
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

-- name: create_untrusted
GRANT USAGE ON SCHEMA launchdb_extensions TO PUBLIC;
CREATE EXTENSION IF NOT EXISTS {name} SCHEMA launchdb_extensions;

-- name: drop
DROP EXTENSION IF EXISTS {name} RESTRICT;

-- name: drop_cascade
DROP EXTENSION IF EXISTS {name} CASCADE;

-- name: load
LOAD {library};

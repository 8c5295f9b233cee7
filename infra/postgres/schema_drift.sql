-- name: look
-- Everything of ours in one database: its schemas, what lies in them, what was granted. Nothing of a tenant is run for
-- that: definitions are printed by the server. Rights are grantee:privilege, 'public' stands for everybody.
WITH ours AS (SELECT oid, nspname FROM pg_namespace WHERE nspname IN ('auth', 'storage', 'launchdb')),
found AS (
    SELECT 'schema' AS kind, quote_ident(nspname) AS name, nspowner AS owner, '' AS state, NULL AS made,
           coalesce(nspacl, acldefault('n', nspowner)) AS rights
      FROM pg_namespace WHERE nspname IN ('auth', 'storage', 'launchdb', 'public', 'extensions')
    UNION ALL
    SELECT 'function', format('%%I.%%I(%%s)', o.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), p.proowner,
           '', pg_get_functiondef(p.oid), coalesce(p.proacl, acldefault('f', p.proowner))
      FROM pg_proc p JOIN ours o ON o.oid = p.pronamespace WHERE p.prokind = 'f'
    UNION ALL
    SELECT 'table', format('%%I.%%I', o.nspname, c.relname), c.relowner,
           CASE WHEN c.relkind = 'r' THEN CASE WHEN c.relrowsecurity THEN 'row security' ELSE 'plain' END ELSE 'no table' END,
           NULL, coalesce(c.relacl, acldefault('r', c.relowner))
      FROM pg_class c JOIN ours o ON o.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION ALL
    SELECT 'column', format('%%I.%%I.%%I', o.nspname, c.relname, a.attname), 0,
           concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
                     a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid)), NULL, NULL
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN ours o ON o.oid = c.relnamespace
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r'
    UNION ALL
    SELECT 'constraint', format('%%I.%%I.%%I', o.nspname, c.relname, k.conname), 0,
           concat_ws(' ', pg_get_constraintdef(k.oid), CASE WHEN NOT k.convalidated THEN 'not valid' END), NULL, NULL
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN ours o ON o.oid = c.relnamespace
    UNION ALL
    SELECT 'index', format('%%I.%%I', o.nspname, c.relname), 0,
           concat_ws(' ', pg_get_indexdef(i.indexrelid), CASE WHEN NOT i.indisvalid THEN 'not valid' END), NULL, NULL
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN ours o ON o.oid = c.relnamespace
    UNION ALL
    SELECT 'event trigger', quote_ident(t.evtname), t.evtowner, t.evtenabled::text,
           format('CREATE EVENT TRIGGER %%I ON %%s EXECUTE FUNCTION %%s', t.evtname, t.evtevent, t.evtfoid::regprocedure),
           NULL
      FROM pg_event_trigger t WHERE t.evtname LIKE 'launchdb\_%%'
    UNION ALL
    SELECT 'default privileges', 'of ' || k.word || ' in public', 0, '', NULL, d.defaclacl
      FROM (VALUES ('r', 'tables'), ('S', 'sequences'), ('f', 'functions')) AS k (type, word)
      JOIN pg_default_acl d ON d.defaclobjtype::text = k.type AND d.defaclnamespace = to_regnamespace('public')
       AND pg_get_userbyid(d.defaclrole) = %(owner)s)
SELECT kind, name, coalesce((SELECT rolname FROM pg_roles WHERE oid = owner), '') AS owner, state, made,
       coalesce((SELECT array_agg(coalesce(r.rolname, 'public') || ':' || a.privilege_type ORDER BY 1)
                   FROM aclexplode(rights) a LEFT JOIN pg_roles r ON r.oid = a.grantee), '{}') AS rights
  FROM found;

-- name: writes
-- What was ever written in each project's database, its catalogue included; a change of schema is a write.
SELECT datname, pg_stat_get_db_tuples_inserted(oid) + pg_stat_get_db_tuples_updated(oid)
                + pg_stat_get_db_tuples_deleted(oid)
  FROM pg_database WHERE datname ~ '^proj_[0-9a-f]{16}$';

-- name: begin
-- A function of ours is taken over as the template has it; what it calls need not be looked up.
SET LOCAL check_function_bodies = off;
SET LOCAL lock_timeout = '5s';

-- name: own
ALTER {kind} {name} OWNER TO {owner};

-- name: grant
GRANT {privilege} ON {kind} {name} TO {grantee};

-- name: revoke
REVOKE {privilege} ON {kind} {name} FROM {grantee} CASCADE;

-- name: revoke_all
REVOKE ALL ON {kind} {name} FROM PUBLIC;

-- name: enable_row_security
ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;

-- name: enable_event_trigger
ALTER EVENT TRIGGER {name} ENABLE;

-- name: drop_event_trigger
DROP EVENT TRIGGER IF EXISTS {name};

-- name: copy
CREATE DATABASE {database} WITH OWNER launchdb_platform TEMPLATE {template} STRATEGY wal_log CONNECTION LIMIT 0;
REVOKE ALL ON DATABASE {database} FROM PUBLIC;

-- name: drop
DROP DATABASE IF EXISTS {database} WITH (FORCE);

-- name: stamp
-- Event triggers are quiet in our sessions, so we say ourselves that the schema is another.
INSERT INTO launchdb.schema_version DEFAULT VALUES;
-- A queue that is full would refuse all of it.
SELECT pg_notify('pgrst', 'reload schema') WHERE pg_notification_queue_usage() < 0.5;

-- name: names_mistaken_logins
SELECT to_regprocedure('launchdb.mistaken_logins()')::text;

-- name: mistaken_logins
SELECT kind, name FROM launchdb.mistaken_logins() ORDER BY kind, name LIMIT %(most)s;

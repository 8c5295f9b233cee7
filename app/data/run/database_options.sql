-- name: options
-- Options of the login as `ALTER ROLE … SET pgrst.…` keeps them, those of this database first; then what the function
-- of `db-pre-config` has set in this transaction.
WITH kept AS (
    SELECT s.setdatabase AS database, pg_catalog.split_part(entry, '=', 1) AS name,
           pg_catalog.substr(entry, pg_catalog.strpos(entry, '=') + 1) AS value
      FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) AS entry
     WHERE s.setrole = pg_catalog.quote_ident(current_user)::regrole
       AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
    UNION ALL
    SELECT NULL, name, pg_catalog.current_setting(name, true) FROM pg_catalog.unnest(%(names)s::text[]) AS name
)
SELECT DISTINCT ON (name) name, value FROM kept
 WHERE value IS NOT NULL AND (name = ANY (%(names)s::text[]) OR name LIKE 'pgrst.app.settings.%%')
 ORDER BY name, database DESC NULLS LAST

-- name: visible
-- What the current role may use of the exposed schemas: relations with what may be done to them, and functions by the
-- types of their arguments, named as in the schema cache.
WITH exposed AS MATERIALIZED (
    SELECT oid, nspname FROM pg_catalog.pg_namespace
     WHERE nspname = ANY ($1::text[]) AND pg_catalog.has_schema_privilege(oid, 'USAGE')
),
relations AS (
    SELECT x.nspname, c.relname,
           CASE WHEN pg_catalog.has_any_column_privilege(c.oid, 'UPDATE') THEN 4 ELSE 0 END
         + CASE WHEN pg_catalog.has_any_column_privilege(c.oid, 'INSERT') THEN 8 ELSE 0 END
         + CASE WHEN pg_catalog.has_table_privilege(c.oid, 'DELETE') THEN 16 ELSE 0 END AS events,
           pg_catalog.has_any_column_privilege(c.oid, 'SELECT') AS reads
      FROM pg_catalog.pg_class c JOIN exposed x ON x.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT c.relispartition
)
SELECT json_build_object(
    'relations', (SELECT coalesce(json_agg(json_build_array(nspname, relname, events)), '[]')
                    FROM relations WHERE reads OR events <> 0),
    'functions', (SELECT coalesce(json_agg(json_build_array(x.nspname, p.proname, (
                             SELECT coalesce(json_agg(pg_catalog.format_type(type, NULL) ORDER BY place), '[]')
                               FROM unnest(p.proargtypes) WITH ORDINALITY AS _ (type, place)))), '[]')
                    FROM pg_catalog.pg_proc p JOIN exposed x ON x.oid = p.pronamespace
                   WHERE p.prokind = 'f' AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE'))
)::text

-- name: description
-- What is said of a schema beyond what requests are planned by: comments, and the values of enums.
WITH here AS MATERIALIZED (
    SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1
),
relations AS MATERIALIZED (
    SELECT c.oid, c.relname FROM pg_catalog.pg_class c JOIN here ON here.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT c.relispartition
),
said AS MATERIALIZED (
    SELECT r.relname, d.objsubid, d.description
      FROM relations r
      JOIN pg_catalog.pg_description d ON d.objoid = r.oid AND d.classoid = 'pg_class'::regclass
)
SELECT json_build_object(
    'schema', (SELECT pg_catalog.obj_description(oid, 'pg_namespace') FROM here),
    'relations', (SELECT coalesce(json_object_agg(relname, description), '{}') FROM said WHERE objsubid = 0),
    'columns', (SELECT coalesce(json_agg(json_build_array(s.relname, a.attname, s.description)), '[]')
                  FROM said s
                  JOIN relations r ON r.relname = s.relname
                  JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum = s.objsubid),
    'functions', (SELECT coalesce(json_agg(json_build_array(p.proname, (
                             SELECT coalesce(json_agg(pg_catalog.format_type(type, NULL) ORDER BY place), '[]')
                               FROM unnest(p.proargtypes) WITH ORDINALITY AS _ (type, place)), d.description)), '[]')
                    FROM pg_catalog.pg_proc p
                    JOIN here ON here.oid = p.pronamespace
                    JOIN pg_catalog.pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_proc'::regclass),
    'enums', (SELECT coalesce(json_object_agg(name, labels), '{}')
                FROM (SELECT pg_catalog.format_type(enumtypid, NULL) AS name, json_agg(enumlabel ORDER BY enumsortorder) AS labels
                        FROM pg_catalog.pg_enum GROUP BY enumtypid) AS enums)
)::text

-- name: database
-- Everybody may see who is connected, only not what they do. The owner's own sessions count, and how many those may be.
SELECT pg_database_size(d.oid) AS bytes, o.rolconnlimit AS "limit", to_regclass('storage.objects') IS NOT NULL AS stores,
       (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid AND a.usename = o.rolname) AS used
  FROM pg_database d JOIN pg_roles o ON o.rolname = d.datname || '_owner' WHERE d.datname = current_database();

-- name: tables
-- A table that was never analysed has no estimate yet.
SELECT n.nspname AS schema, count(*) AS tables, sum(greatest(c.reltuples, 0))::bigint AS rows
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'launchdb')
   AND n.nspname NOT LIKE 'pg\_%%'
 GROUP BY n.nspname ORDER BY n.nspname;

-- name: objects
SELECT count(*) AS objects,
       coalesce(sum(CASE WHEN metadata ->> 'size' ~ '^[0-9]{1,18}$' THEN (metadata ->> 'size')::bigint END), 0) AS bytes
  FROM storage.objects;

-- name: sizes
-- Every database but the server's own templates, the largest first.
SELECT datname AS name, pg_database_size(oid) AS bytes, pg_size_pretty(pg_database_size(oid)) AS words
  FROM pg_database WHERE datname NOT IN ('template0', 'template1') ORDER BY bytes DESC, datname;

-- name: sizes_of
SELECT datname, pg_database_size(oid) FROM pg_database WHERE datname = ANY (%(names)s);

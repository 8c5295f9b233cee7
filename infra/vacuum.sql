-- name: tables
-- What may be vacuumed by its owner. A table that was never vacuumed or analysed counts as changed, and so does one
-- whose age has come half the way to a forced vacuum. The true size is not asked for: that would wait for locks.
SELECT n.nspname AS schema, c.relname AS name, greatest(c.relpages, 1) AS pages,
       coalesce(s.n_dead_tup, 0) AS dead, greatest(age(c.relfrozenxid), 0) AS age,
       coalesce(s.n_dead_tup + s.n_mod_since_analyze + s.n_ins_since_vacuum, 1) > 0
       OR coalesce(s.last_vacuum, s.last_autovacuum) IS NULL OR coalesce(s.last_analyze, s.last_autoanalyze) IS NULL
       OR age(c.relfrozenxid) > current_setting('autovacuum_freeze_max_age')::bigint / 2 AS changed
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
 WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND pg_has_role(c.relowner, 'USAGE')
 ORDER BY pages, n.nspname, c.relname;

-- name: vacuum
VACUUM (ANALYZE) {table};

-- name: scanned
SELECT heap_blks_scanned FROM pg_stat_progress_vacuum WHERE pid = %(pid)s;

-- name: size
SELECT pg_database_size(current_database());

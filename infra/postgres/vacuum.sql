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

-- name: bloat
-- Space that the rows of a table do not need, by the widths that the last ANALYZE measured (28: a row's header and its
-- place in the page's list). An estimate: VACUUM lets it be used again, only VACUUM FULL gives it back.
SELECT n.nspname || '.' || c.relname AS name, c.relpages * page.size AS bytes,
       greatest(0, c.relpages - ceil(c.reltuples * (28 + width.bytes) / ((page.size - 24) * page.fill)))::bigint
       * page.size AS bloat
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT coalesce(sum((1 - s.null_frac) * s.avg_width), 0) AS bytes FROM pg_stats s
                      WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND NOT s.inherited) AS width
 CROSS JOIN LATERAL (SELECT current_setting('block_size')::bigint AS size,
                            coalesce((SELECT option_value::numeric FROM pg_options_to_table(c.reloptions)
                                       WHERE option_name = 'fillfactor'), 100) / 100 AS fill) AS page
 WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND c.reltuples >= 0 AND pg_has_role(c.relowner, 'USAGE')
 ORDER BY bloat DESC, name;

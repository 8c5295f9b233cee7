-- name: has_rows
-- Whether there is the table of files as it is ours, and something in it.
SELECT (SELECT count(*) FROM pg_attribute a
         WHERE a.attrelid = to_regclass('storage.objects') AND NOT a.attisdropped
           AND (a.attname, format_type(a.atttypid, a.atttypmod)) IN (VALUES ('id', 'uuid'), ('version', 'text'),
               ('bucket_id', 'text'), ('name', 'text'), ('metadata', 'jsonb'))) = 5
   AND EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('storage.objects') AND relkind = 'r');

-- name: after
SELECT id::text, coalesce(version, ''), coalesce(bucket_id, ''), coalesce(name, ''),
       CASE WHEN metadata ->> 'size' ~ '^[0-9]{1,15}$' THEN (metadata ->> 'size')::bigint END,
       CASE WHEN metadata ->> 'sha256' ~ '^[0-9a-f]{64}$' THEN metadata ->> 'sha256' END
  FROM storage.objects WHERE id > %(after)s::uuid ORDER BY id LIMIT %(most)s;

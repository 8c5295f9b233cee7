-- name: search
SELECT * FROM storage.search(%(prefix)s, %(bucket)s, %(limit)s, 1, %(offset)s, %(search)s, %(column)s, %(order)s);

-- name: search_v2
SELECT * FROM storage.search_v2(%(prefix)s, %(bucket)s, %(limit)s, 1, %(after)s, %(order)s, %(column)s, %(at)s);

-- name: flat_by_name
SELECT name AS key, name, id, updated_at, created_at, last_accessed_at, metadata FROM storage.objects
 WHERE bucket_id = %(bucket)s AND name COLLATE "C" >= %(prefix)s AND name COLLATE "C" < %(prefix)s || chr(1114111)
   AND (%(after)s = '' OR name COLLATE "C" {behind} %(after)s)
 ORDER BY name COLLATE "C" {direction} LIMIT %(limit)s;

-- name: flat_by_time
SELECT name AS key, name, id, updated_at, created_at, last_accessed_at, metadata FROM storage.objects
 WHERE bucket_id = %(bucket)s AND name COLLATE "C" >= %(prefix)s AND name COLLATE "C" < %(prefix)s || chr(1114111)
   AND (%(after)s = '' OR ({column}, name COLLATE "C") {behind} (nullif(%(at)s, '')::timestamptz, %(after)s))
 ORDER BY {column} {direction}, name COLLATE "C" {direction} LIMIT %(limit)s;

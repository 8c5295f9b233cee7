-- name: page
SELECT name, id, metadata, updated_at
  FROM storage.list_objects_with_delimiter(%(bucket)s, %(prefix)s, %(delimiter)s, %(limit)s, %(after)s);

-- name: flat_page
SELECT name, id, metadata, updated_at FROM storage.objects
 WHERE bucket_id = %(bucket)s AND name COLLATE "C" >= %(prefix)s AND name COLLATE "C" < %(prefix)s || chr(1114111)
   AND name COLLATE "C" > %(after)s
 ORDER BY name COLLATE "C" LIMIT %(limit)s;

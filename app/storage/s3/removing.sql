-- name: seen
SELECT name FROM storage.objects WHERE bucket_id = %(bucket)s AND name COLLATE "C" = ANY (%(keys)s::text[]);

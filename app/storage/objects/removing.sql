-- name: bucket
SELECT id FROM storage.buckets WHERE id = %(bucket)s;

-- name: one
DELETE FROM storage.objects WHERE id = %(id)s;

-- name: many
DELETE FROM storage.objects WHERE bucket_id = %(bucket)s AND name COLLATE "C" = ANY (%(keys)s::text[])
RETURNING *;

-- name: is_public
SELECT public FROM storage.buckets WHERE id = %(bucket)s;

-- name: object
SELECT id, bucket_id, name, version, created_at, updated_at, metadata, user_metadata FROM storage.objects
 WHERE bucket_id = %(bucket)s AND name = %(name)s COLLATE "C";

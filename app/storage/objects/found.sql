-- name: is_public
SELECT public FROM storage.buckets WHERE id = %(bucket)s;

-- name: become_unless_public
-- Storage's own rights for what is everybody's, so that no policy is asked.
SELECT public, set_config('request.jwt.claims', %(claims)s, true),
       set_config('role', CASE WHEN public THEN 'none' ELSE %(role)s END, true)
  FROM storage.buckets WHERE id = %(bucket)s;

-- name: object
SELECT id, bucket_id, name, version, created_at, updated_at, metadata, user_metadata FROM storage.objects
 WHERE bucket_id = %(bucket)s AND name = %(name)s COLLATE "C";

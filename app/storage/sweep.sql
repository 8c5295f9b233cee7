-- name: end_uploads
DELETE FROM storage.launchdb_uploads WHERE expires_at < to_timestamp(%(now)s);

-- name: end_multipart_uploads
DELETE FROM storage.s3_multipart_uploads WHERE launchdb_expires_at < to_timestamp(%(now)s);

-- name: uploads
SELECT id FROM storage.launchdb_uploads;

-- name: unnamed
-- None while somebody needs what no row names: see bytes_left.sql.
SELECT n.blob AS name FROM unnest(%(names)s::text[]) AS n (blob)
 WHERE NOT EXISTS (SELECT FROM storage.objects o
                    WHERE o.id = split_part(n.blob, '.', 1)::uuid AND o.version = split_part(n.blob, '.', 2))
   AND NOT EXISTS (SELECT FROM storage.s3_multipart_uploads_parts p
                    WHERE p.id = split_part(n.blob, '.', 1)::uuid AND p.version = split_part(n.blob, '.', 2))
   AND NOT EXISTS (SELECT FROM launchdb.files_hold WHERE until > now());

-- name: objects
SELECT id, bucket_id, name, version,
       CASE WHEN metadata ->> 'size' ~ '^[0-9]{1,15}$' THEN (metadata ->> 'size')::bigint END AS size
  FROM storage.objects WHERE id > %(after)s::uuid ORDER BY id LIMIT %(most)s;

-- name: is_still
SELECT EXISTS (SELECT FROM storage.objects WHERE id = %(id)s AND version IS NOT DISTINCT FROM %(version)s);

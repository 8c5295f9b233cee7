-- name: insert
INSERT INTO storage.s3_multipart_uploads (id, bucket_id, key, owner_id, user_metadata, metadata, launchdb_role,
                                          launchdb_expires_at)
VALUES (%(id)s, %(bucket)s, %(key)s, %(owner_id)s, %(user_metadata)s::jsonb, %(metadata)s::jsonb, %(role)s, %(expires_at)s);

-- name: find
SELECT * FROM storage.s3_multipart_uploads WHERE id = %(id)s AND bucket_id = %(bucket)s AND key = %(key)s;

-- name: lock
SELECT id FROM storage.s3_multipart_uploads WHERE id = %(id)s AND launchdb_etag IS NULL FOR SHARE;

-- name: lock_any
SELECT launchdb_etag FROM storage.s3_multipart_uploads WHERE id = %(id)s FOR UPDATE;

-- name: delete_part
DELETE FROM storage.s3_multipart_uploads_parts WHERE upload_id = %(id)s AND part_number = %(number)s;

-- name: insert_part
INSERT INTO storage.s3_multipart_uploads_parts (id, upload_id, size, part_number, bucket_id, key, etag, owner_id, version)
SELECT %(id)s, u.id, %(size)s, %(number)s, u.bucket_id, u.key, %(etag)s, %(owner_id)s, %(version)s
  FROM storage.s3_multipart_uploads u WHERE u.id = %(upload)s;

-- name: size
SELECT coalesce(sum(size), 0)::bigint FROM storage.s3_multipart_uploads_parts WHERE upload_id = %(id)s;

-- name: coming
SELECT coalesce(sum(size), 0)::bigint FROM storage.s3_multipart_uploads_parts;

-- name: parts
SELECT * FROM storage.s3_multipart_uploads_parts
 WHERE upload_id = %(id)s AND part_number > %(after)s ORDER BY part_number LIMIT %(most)s;

-- name: still_there
SELECT count(*) FROM storage.s3_multipart_uploads_parts WHERE upload_id = %(id)s AND id = ANY (%(parts)s::text[]::uuid[]);

-- name: finish
WITH finished AS (UPDATE storage.s3_multipart_uploads SET launchdb_etag = %(etag)s WHERE id = %(id)s)
DELETE FROM storage.s3_multipart_uploads_parts WHERE upload_id = %(id)s;

-- name: delete
DELETE FROM storage.s3_multipart_uploads WHERE id = %(id)s AND launchdb_etag IS NULL;

-- name: bucket
SELECT id FROM storage.buckets WHERE id = %(bucket)s;

-- name: listed
SELECT id, key, created_at, owner_id FROM storage.s3_multipart_uploads
 WHERE bucket_id = %(bucket)s AND launchdb_etag IS NULL AND starts_with(key, %(prefix)s)
   AND (key > %(key)s OR (key = %(key)s AND %(upload)s <> '' AND id > %(upload)s))
   AND (%(all)s OR (launchdb_role = %(role)s AND owner_id IS NOT DISTINCT FROM %(owner_id)s))
 ORDER BY key, id LIMIT %(most)s;

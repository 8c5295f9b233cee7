-- name: etag
SELECT metadata ->> 'eTag' AS etag FROM storage.objects
 WHERE bucket_id = %(bucket)s AND name = %(name)s COLLATE "C" FOR UPDATE;

-- name: bucket
SELECT id, public, file_size_limit, allowed_mime_types FROM storage.buckets WHERE id = %(id)s;

-- name: used
SELECT coalesce(sum(bytes), 0)::bigint AS bytes, coalesce(sum(objects), 0)::bigint AS objects FROM storage.launchdb_usage;

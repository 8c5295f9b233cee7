-- name: by_bucket
SELECT b.id AS bucket, count(o.id) AS objects, coalesce(sum(storage.launchdb_size_of(o.metadata)), 0)::bigint AS bytes
  FROM storage.buckets b LEFT JOIN storage.objects o ON o.bucket_id = b.id GROUP BY b.id ORDER BY b.id;

-- name: uploads
SELECT count(*) AS uploads, coalesce(sum(received), 0)::bigint AS bytes FROM storage.launchdb_uploads WHERE finished_at IS NULL;

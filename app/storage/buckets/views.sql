-- name: insert
INSERT INTO storage.buckets (id, name, owner, owner_id, public, file_size_limit, allowed_mime_types)
VALUES (%(id)s, %(name)s, CASE WHEN %(owner_id)s::text ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
                               THEN %(owner_id)s::text::uuid END,
        %(owner_id)s, %(public)s, %(file_size_limit)s, %(allowed_mime_types)s);

-- name: read
SELECT * FROM storage.buckets WHERE id = %(id)s;

-- name: list
SELECT * FROM storage.buckets
 WHERE %(search)s = '' OR strpos(lower(name), lower(%(search)s)) > 0
 ORDER BY {column} {order}, id LIMIT %(limit)s OFFSET %(offset)s;

-- name: update
UPDATE storage.buckets SET {changes}, updated_at = now() WHERE id = %(id)s;

-- name: seen
SELECT id FROM storage.buckets WHERE id = %(id)s;

-- name: holds_any
-- As Storage: what the caller does not see is in it nevertheless. Nobody adds to it until the end of the transaction.
SELECT EXISTS (SELECT FROM storage.objects WHERE bucket_id = %(id)s)
  FROM storage.buckets WHERE id = %(id)s FOR UPDATE;

-- name: delete
DELETE FROM storage.buckets WHERE id = %(id)s;

-- name: delete_some
DELETE FROM storage.objects WHERE id IN (SELECT id FROM storage.objects WHERE bucket_id = %(bucket)s LIMIT %(most)s);

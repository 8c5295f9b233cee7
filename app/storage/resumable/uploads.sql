-- name: insert
INSERT INTO storage.launchdb_uploads (id, bucket_id, name, owner_id, role, upsert, length, content_type, cache_control,
                                      user_metadata, robots, stated, object_id, version, expires_at)
VALUES (%(id)s, %(bucket)s, %(name)s, %(owner_id)s, %(role)s, %(upsert)s, %(length)s, %(content_type)s, %(cache_control)s,
        %(user_metadata)s::jsonb, %(robots)s, %(stated)s, %(object_id)s, %(version)s, %(expires_at)s);

-- name: coming
SELECT coalesce(sum(length), 0)::bigint FROM storage.launchdb_uploads WHERE finished_at IS NULL AND expires_at > now();

-- name: find
SELECT * FROM storage.launchdb_uploads WHERE id = %(id)s;

-- name: received
UPDATE storage.launchdb_uploads SET received = %(received)s WHERE id = %(id)s AND received = %(before)s;

-- name: finish
UPDATE storage.launchdb_uploads SET finished_at = now() WHERE id = %(id)s AND finished_at IS NULL;

-- name: delete
DELETE FROM storage.launchdb_uploads WHERE id = %(id)s;

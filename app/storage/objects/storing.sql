-- name: insert
INSERT INTO storage.objects (id, bucket_id, name, owner, owner_id, version, metadata, user_metadata)
VALUES (%(id)s, %(bucket)s, %(name)s,
        CASE WHEN %(owner_id)s::text ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' THEN %(owner_id)s::text::uuid END,
        %(owner_id)s, %(version)s, %(metadata)s::jsonb, %(user_metadata)s::jsonb);

-- name: upsert
INSERT INTO storage.objects (id, bucket_id, name, owner, owner_id, version, metadata, user_metadata)
VALUES (%(id)s, %(bucket)s, %(name)s,
        CASE WHEN %(owner_id)s::text ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' THEN %(owner_id)s::text::uuid END,
        %(owner_id)s, %(version)s, %(metadata)s::jsonb, %(user_metadata)s::jsonb)
ON CONFLICT (bucket_id, name COLLATE "C") DO UPDATE
   SET owner = excluded.owner, owner_id = excluded.owner_id, version = excluded.version, metadata = excluded.metadata,
       user_metadata = excluded.user_metadata
RETURNING id;

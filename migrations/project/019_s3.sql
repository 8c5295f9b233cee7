-- What the S3 protocol needs beside the tables: listings with any delimiter, and uploads in parts, whose tables are as
-- projects elsewhere have them, so that a dump of theirs can be loaded; what is ours alone is said by its name.

SET LOCAL ROLE launchdb_tpl_storage;

-- One page of the keys below a prefix, in their order as bytes; a key with the delimiter behind the prefix stands in it as
-- that beginning, once, with no id. start_after may be such a beginning: all that is in it is behind us then.
CREATE FUNCTION storage.list_objects_with_delimiter(
    bucket_id text, prefix_param text, delimiter_param text, max_keys int DEFAULT 100, start_after text DEFAULT '',
    next_token text DEFAULT '', sort_order text DEFAULT 'asc')
RETURNS TABLE (name text, id uuid, metadata jsonb, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    begins text := coalesce(prefix_param, '');
    highest text := begins || chr(1114111);
    descends boolean := lower(coalesce(sort_order, 'asc')) = 'desc';
    most int := coalesce(max_keys, 100);
    after text := greatest(coalesce(start_after, '') COLLATE "C", coalesce(next_token, '') COLLATE "C");
    at_name text := CASE WHEN descends AND after = '' THEN highest ELSE after END;
    folder text := CASE WHEN after <> '' AND coalesce(delimiter_param, '') <> '' AND starts_with(after, begins)
                        THEN storage.get_common_prefix(after, begins, delimiter_param) END;
    hit record;
BEGIN
    IF folder = after THEN
        at_name := CASE WHEN descends THEN folder ELSE folder || chr(1114111) END;
    END IF;
    WHILE most > 0 LOOP
        SELECT * INTO hit FROM (
            (SELECT o.* FROM storage.objects o
              WHERE NOT descends AND o.bucket_id = list_objects_with_delimiter.bucket_id AND o.name COLLATE "C" >= begins
                AND o.name COLLATE "C" < highest AND o.name COLLATE "C" > at_name
              ORDER BY o.name COLLATE "C" LIMIT 1)
            UNION ALL
            (SELECT o.* FROM storage.objects o
              WHERE descends AND o.bucket_id = list_objects_with_delimiter.bucket_id AND o.name COLLATE "C" >= begins
                AND o.name COLLATE "C" < at_name
              ORDER BY o.name COLLATE "C" DESC LIMIT 1)) AS o;
        EXIT WHEN NOT FOUND;
        most := most - 1;
        folder := CASE WHEN coalesce(delimiter_param, '') <> ''
                       THEN storage.get_common_prefix(hit.name, begins, delimiter_param) END;
        name := coalesce(folder, hit.name);
        id := CASE WHEN folder IS NULL THEN hit.id END;
        metadata := CASE WHEN folder IS NULL THEN hit.metadata END;
        updated_at := CASE WHEN folder IS NULL THEN hit.updated_at END;
        created_at := CASE WHEN folder IS NULL THEN hit.created_at END;
        last_accessed_at := CASE WHEN folder IS NULL THEN hit.last_accessed_at END;
        at_name := CASE WHEN folder IS NULL THEN hit.name WHEN descends THEN folder ELSE folder || chr(1114111) END;
        RETURN NEXT;
    END LOOP;
END $$;

CREATE TABLE storage.s3_multipart_uploads (
    id text PRIMARY KEY,
    in_progress_size bigint NOT NULL DEFAULT 0,
    upload_signature text NOT NULL DEFAULT '',
    bucket_id text NOT NULL REFERENCES storage.buckets ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    version text NOT NULL DEFAULT '',
    owner_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    user_metadata jsonb,
    metadata jsonb,
    launchdb_role text,
    launchdb_etag text,
    launchdb_expires_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_multipart_uploads_list ON storage.s3_multipart_uploads (bucket_id, key, created_at);
CREATE INDEX s3_multipart_uploads_launchdb_expires_at_idx ON storage.s3_multipart_uploads (launchdb_expires_at);

-- The bytes of a part lie beside the objects', by its id and version.
CREATE TABLE storage.s3_multipart_uploads_parts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    upload_id text NOT NULL REFERENCES storage.s3_multipart_uploads ON DELETE CASCADE,
    size bigint NOT NULL DEFAULT 0,
    part_number int NOT NULL,
    bucket_id text NOT NULL REFERENCES storage.buckets ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    etag text NOT NULL,
    owner_id text,
    version text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX s3_multipart_uploads_parts_number_key ON storage.s3_multipart_uploads_parts (upload_id, part_number);
CREATE INDEX s3_multipart_uploads_parts_bucket_id_idx ON storage.s3_multipart_uploads_parts (bucket_id);

ALTER TABLE storage.s3_multipart_uploads ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.s3_multipart_uploads_parts ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION storage.launchdb_parts_went() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO storage.launchdb_dead_bytes (object_id, version) SELECT id, version FROM went;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION storage.launchdb_parts_went() FROM PUBLIC;
CREATE TRIGGER launchdb_parts_went AFTER DELETE ON storage.s3_multipart_uploads_parts REFERENCING OLD TABLE AS went
    FOR EACH STATEMENT EXECUTE FUNCTION storage.launchdb_parts_went();

REVOKE EXECUTE ON FUNCTION storage.list_objects_with_delimiter(text, text, text, int, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION storage.list_objects_with_delimiter(text, text, text, int, text, text, text)
    TO anon, authenticated, service_role, launchdb_owner;

RESET ROLE;

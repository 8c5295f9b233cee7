-- What Storage, and policies written for it, need beside the two tables: the operation that asks, listings, and what is
-- left behind by rows that change or go.

SET LOCAL ROLE launchdb_tpl_storage;

CREATE TYPE storage.buckettype AS ENUM ('STANDARD', 'ANALYTICS', 'VECTOR');
ALTER TABLE storage.buckets ADD COLUMN avif_autodetection boolean DEFAULT false,
    ADD COLUMN type storage.buckettype NOT NULL DEFAULT 'STANDARD';

CREATE INDEX objects_bucket_lower_name_idx
    ON storage.objects (bucket_id, launchdb.lower_key(name) COLLATE "C", name COLLATE "C");

-- Which of Storage's operations asks, such as storage.object.list; null outside of Storage.
CREATE FUNCTION storage.operation() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT nullif(current_setting('storage.operation', true), '')
$$;
CREATE FUNCTION storage.allow_any_operation(expected_operations text[]) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT EXISTS (SELECT FROM unnest(expected_operations) AS expected
                    WHERE regexp_replace(expected, '^storage\.', '') <> ''
                      AND regexp_replace(expected, '^storage\.', '') = regexp_replace(storage.operation(), '^storage\.', ''))
$$;
CREATE FUNCTION storage.allow_only_operation(expected_operation text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT storage.allow_any_operation(ARRAY[expected_operation])
$$;

-- Whether the caller might insert such a row: the error says so, and undoes it.
CREATE FUNCTION storage.can_insert_object(bucketid text, name text, owner uuid, metadata jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO storage.objects (bucket_id, name, owner, metadata) VALUES (bucketid, name, owner, metadata);
    RAISE SQLSTATE 'PT200' USING MESSAGE = 'ROLLBACK', DETAIL = 'rollback successful insert';
END $$;

-- The folder that a key is in below a prefix, with its delimiter at the end; null for a key that is in none.
CREATE FUNCTION storage.get_common_prefix(p_key text, p_prefix text, p_delimiter text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN at > 0 THEN left(p_key, length(p_prefix) + at + length(p_delimiter) - 1) END
      FROM position(p_delimiter IN substr(p_key, length(p_prefix) + 1)) AS at
$$;

-- One page of the entries below prefix || search, in any case: objects, and the folders that others are in. Names are
-- relative to the prefix; `levels` is of former times, and not looked at.
CREATE FUNCTION storage.search(
    prefix text, bucketname text, limits int DEFAULT 100, levels int DEFAULT 1, offsets int DEFAULT 0,
    search text DEFAULT '', sortcolumn text DEFAULT 'name', sortorder text DEFAULT 'asc')
RETURNS TABLE (name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz, metadata jsonb)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    begins text := coalesce(prefix, '') || coalesce(search, '');
    lowest text := launchdb.lower_key(begins) COLLATE "C";
    highest text := lowest || chr(1114111);
    cut int := length(coalesce(prefix, '')) + 1;
    descends boolean := lower(coalesce(sortorder, 'asc')) = 'desc';
    most int := least(coalesce(limits, 100), 1500);
    skipped int := coalesce(offsets, 0);
    batch int := least(greatest(2 * most, 100), 1000);
    seen int;
    -- Where to go on: behind this key of this name.
    at_key text := CASE WHEN descends THEN highest ELSE lowest END;
    at_name text := '';
    hit record;
    folder text;
BEGIN
    IF lower(sortcolumn) IN ('updated_at', 'created_at', 'last_accessed_at') THEN
        -- Folders have no times: they come first, by their names.
        RETURN QUERY EXECUTE format(
            'WITH found AS (SELECT o.*, storage.get_common_prefix(o.name, $1, ''/'') AS folder FROM storage.objects o
                             WHERE o.bucket_id = $2 AND launchdb.lower_key(o.name) COLLATE "C" >= $3
                               AND launchdb.lower_key(o.name) COLLATE "C" < $4),
                  entries AS (SELECT DISTINCT true AS is_folder, rtrim(folder, ''/'') AS name, NULL::uuid AS id,
                                     NULL::timestamptz AS updated_at, NULL::timestamptz AS created_at,
                                     NULL::timestamptz AS last_accessed_at, NULL::jsonb AS metadata
                                FROM found WHERE folder IS NOT NULL
                              UNION ALL
                              SELECT false, f.name, f.id, f.updated_at, f.created_at, f.last_accessed_at, f.metadata
                                FROM found f WHERE folder IS NULL)
             SELECT substr(e.name, $5), e.id, e.updated_at, e.created_at, e.last_accessed_at, e.metadata FROM entries e
              ORDER BY e.is_folder DESC, e.%I %2$s, e.name COLLATE "C" %2$s LIMIT $6 OFFSET $7',
            lower(sortcolumn), CASE WHEN descends THEN 'DESC' ELSE 'ASC' END)
            USING begins, bucketname, lowest, highest, cut, most, skipped;
        RETURN;
    END IF;
    WHILE most > 0 LOOP
        seen := 0;
        FOR hit IN
            SELECT * FROM (
                (SELECT o.*, launchdb.lower_key(o.name) AS key FROM storage.objects o
                  WHERE NOT descends AND o.bucket_id = bucketname AND launchdb.lower_key(o.name) COLLATE "C" < highest
                    AND (launchdb.lower_key(o.name) COLLATE "C", o.name COLLATE "C") > (at_key, at_name)
                  ORDER BY launchdb.lower_key(o.name) COLLATE "C", o.name COLLATE "C" LIMIT batch)
                UNION ALL
                (SELECT o.*, launchdb.lower_key(o.name) AS key FROM storage.objects o
                  WHERE descends AND o.bucket_id = bucketname AND launchdb.lower_key(o.name) COLLATE "C" >= lowest
                    AND (launchdb.lower_key(o.name) COLLATE "C", o.name COLLATE "C") < (at_key, at_name)
                  ORDER BY launchdb.lower_key(o.name) COLLATE "C" DESC, o.name COLLATE "C" DESC LIMIT batch)) AS o
        LOOP
            seen := seen + 1;
            folder := storage.get_common_prefix(hit.name, begins, '/');
            at_key := hit.key;
            at_name := hit.name;
            IF skipped > 0 THEN
                skipped := skipped - 1;
            ELSE
                most := most - 1;
                name := substr(coalesce(rtrim(folder, '/'), hit.name), cut);
                id := CASE WHEN folder IS NULL THEN hit.id END;
                updated_at := CASE WHEN folder IS NULL THEN hit.updated_at END;
                created_at := CASE WHEN folder IS NULL THEN hit.created_at END;
                last_accessed_at := CASE WHEN folder IS NULL THEN hit.last_accessed_at END;
                metadata := CASE WHEN folder IS NULL THEN hit.metadata END;
                RETURN NEXT;
            END IF;
            EXIT WHEN most = 0;
            IF folder IS NOT NULL THEN
                -- Past all that is in it: the character behind the slash is the zero.
                folder := launchdb.lower_key(folder);
                at_key := CASE WHEN descends THEN folder ELSE left(folder, -1) || '0' END;
                at_name := '';
                seen := batch;
                EXIT;
            END IF;
        END LOOP;
        EXIT WHEN seen < batch;
    END LOOP;
END $$;

-- The same behind a place instead of an offset, by whole keys, and as the names are written.
CREATE FUNCTION storage.search_v2(
    prefix text, bucket_name text, limits int DEFAULT 100, levels int DEFAULT 1, start_after text DEFAULT '',
    sort_order text DEFAULT 'asc', sort_column text DEFAULT 'name', sort_column_after text DEFAULT '')
RETURNS TABLE (key text, name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz,
               metadata jsonb)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    begins text := coalesce(prefix, '') COLLATE "C";
    highest text := begins || chr(1114111);
    descends boolean := lower(coalesce(sort_order, 'asc')) = 'desc';
    most int := coalesce(limits, 100);
    at_name text := CASE WHEN coalesce(start_after, '') <> '' THEN start_after WHEN descends THEN highest END;
    hit record;
    folder text;
BEGIN
    IF lower(sort_column) IN ('updated_at', 'created_at') THEN
        RETURN QUERY EXECUTE format(
            'WITH found AS (SELECT o.*, storage.get_common_prefix(o.name, $1, ''/'') AS folder FROM storage.objects o
                             WHERE o.bucket_id = $2 AND o.name COLLATE "C" >= $1 AND o.name COLLATE "C" < $3),
                  entries AS (SELECT folder AS name, min(%1$I) AS at, NULL::uuid AS id, NULL::timestamptz AS updated_at,
                                     NULL::timestamptz AS created_at, NULL::timestamptz AS last_accessed_at, NULL::jsonb AS metadata
                                FROM found WHERE folder IS NOT NULL GROUP BY folder
                              UNION ALL
                              SELECT f.name, f.%1$I, f.id, f.updated_at, f.created_at, f.last_accessed_at, f.metadata
                                FROM found f WHERE folder IS NULL)
             SELECT rtrim(e.name, ''/''), e.name, e.id, CASE WHEN e.id IS NULL THEN e.at ELSE e.updated_at END,
                    CASE WHEN e.id IS NULL THEN e.at ELSE e.created_at END, e.last_accessed_at, e.metadata FROM entries e
              WHERE $4 = '''' OR (e.at, e.name COLLATE "C") %2$s (nullif($5, '''')::timestamptz, $4)
              ORDER BY e.at %3$s, e.name COLLATE "C" %3$s LIMIT $6',
            lower(sort_column), CASE WHEN descends THEN '<' ELSE '>' END, CASE WHEN descends THEN 'DESC' ELSE 'ASC' END)
            USING begins, bucket_name, highest, coalesce(start_after, ''), coalesce(sort_column_after, ''), most;
        RETURN;
    END IF;
    IF NOT descends AND right(at_name, 1) = '/' THEN
        at_name := left(at_name, -1) || '0';
    END IF;
    WHILE most > 0 LOOP
        SELECT * INTO hit FROM (
            (SELECT o.* FROM storage.objects o
              WHERE NOT descends AND o.bucket_id = bucket_name AND o.name COLLATE "C" >= begins
                AND o.name COLLATE "C" < highest AND o.name COLLATE "C" > coalesce(at_name, '')
              ORDER BY o.name COLLATE "C" LIMIT 1)
            UNION ALL
            (SELECT o.* FROM storage.objects o
              WHERE descends AND o.bucket_id = bucket_name AND o.name COLLATE "C" >= begins AND o.name COLLATE "C" < at_name
              ORDER BY o.name COLLATE "C" DESC LIMIT 1)) AS o;
        EXIT WHEN NOT FOUND;
        most := most - 1;
        folder := storage.get_common_prefix(hit.name, begins, '/');
        key := coalesce(rtrim(folder, '/'), hit.name);
        name := coalesce(folder, hit.name);
        id := CASE WHEN folder IS NULL THEN hit.id END;
        updated_at := CASE WHEN folder IS NULL THEN hit.updated_at END;
        created_at := CASE WHEN folder IS NULL THEN hit.created_at END;
        last_accessed_at := CASE WHEN folder IS NULL THEN hit.last_accessed_at END;
        metadata := CASE WHEN folder IS NULL THEN hit.metadata END;
        at_name := CASE WHEN folder IS NULL THEN hit.name WHEN descends THEN folder ELSE left(folder, -1) || '0' END;
        RETURN NEXT;
    END LOOP;
END $$;

CREATE FUNCTION storage.update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;
CREATE TRIGGER update_objects_updated_at BEFORE UPDATE ON storage.objects
    FOR EACH ROW EXECUTE FUNCTION storage.update_updated_at_column();

-- A row that is deleted by hand leaves its bytes where they are, and nobody knows of them.
CREATE FUNCTION storage.protect_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('storage.allow_delete_query', true), '') <> 'true' THEN
        RAISE insufficient_privilege USING
            MESSAGE = 'Direct deletion from storage tables is not allowed. Use the Storage API instead.',
            HINT = 'This prevents accidental data loss from orphaned objects.';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER protect_buckets_delete BEFORE DELETE ON storage.buckets
    FOR EACH STATEMENT EXECUTE FUNCTION storage.protect_delete();
CREATE TRIGGER protect_objects_delete BEFORE DELETE ON storage.objects
    FOR EACH STATEMENT EXECUTE FUNCTION storage.protect_delete();

-- Bytes that no row stands for any more, by the name they are kept under; Storage removes them, and then the row.
CREATE TABLE storage.launchdb_dead_bytes (
    object_id uuid NOT NULL,
    version text NOT NULL,
    died_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
    died_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX launchdb_dead_bytes_died_in_idx ON storage.launchdb_dead_bytes (died_in);

-- How much there is, as a sum over rows of which each transaction changes one that no other has just changed.
CREATE TABLE storage.launchdb_usage (
    slot bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    objects bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0
);
CREATE FUNCTION storage.launchdb_size_of(metadata jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN metadata ->> 'size' ~ '^[0-9]{1,15}$' THEN (metadata ->> 'size')::bigint ELSE 0 END
$$;
INSERT INTO storage.launchdb_usage (objects, bytes)
    SELECT count(*), coalesce(sum(storage.launchdb_size_of(metadata)), 0) FROM storage.objects;

CREATE FUNCTION storage.launchdb_count(more_objects bigint, more_bytes bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF more_objects = 0 AND more_bytes = 0 THEN
        RETURN;
    END IF;
    UPDATE storage.launchdb_usage SET objects = objects + more_objects, bytes = bytes + more_bytes
     WHERE slot = (SELECT slot FROM storage.launchdb_usage ORDER BY slot LIMIT 1 FOR UPDATE SKIP LOCKED);
    IF NOT FOUND THEN
        INSERT INTO storage.launchdb_usage (objects, bytes) VALUES (more_objects, more_bytes);
    END IF;
END $$;

CREATE FUNCTION storage.launchdb_rows_came() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM storage.launchdb_count(count(*), coalesce(sum(storage.launchdb_size_of(metadata)), 0)::bigint) FROM came;
    RETURN NULL;
END $$;
CREATE FUNCTION storage.launchdb_rows_went() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO storage.launchdb_dead_bytes (object_id, version) SELECT id, version FROM went WHERE version IS NOT NULL;
    PERFORM storage.launchdb_count(-count(*), -coalesce(sum(storage.launchdb_size_of(metadata)), 0)::bigint) FROM went;
    RETURN NULL;
END $$;
CREATE FUNCTION storage.launchdb_rows_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO storage.launchdb_dead_bytes (object_id, version)
        SELECT w.id, w.version FROM went w
         WHERE w.version IS NOT NULL AND NOT EXISTS (SELECT FROM came c WHERE c.id = w.id AND c.version = w.version);
    PERFORM storage.launchdb_count(0, ((SELECT coalesce(sum(storage.launchdb_size_of(metadata)), 0) FROM came)
                                     - (SELECT coalesce(sum(storage.launchdb_size_of(metadata)), 0) FROM went))::bigint);
    RETURN NULL;
END $$;
CREATE TRIGGER launchdb_rows_came AFTER INSERT ON storage.objects REFERENCING NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION storage.launchdb_rows_came();
CREATE TRIGGER launchdb_rows_went AFTER DELETE ON storage.objects REFERENCING OLD TABLE AS went
    FOR EACH STATEMENT EXECUTE FUNCTION storage.launchdb_rows_went();
CREATE TRIGGER launchdb_rows_changed AFTER UPDATE ON storage.objects REFERENCING OLD TABLE AS went NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION storage.launchdb_rows_changed();

-- Uploads that are sent in parts, and may go on after a pause; what has come of one lies beside the objects' bytes.
CREATE TABLE storage.launchdb_uploads (
    id uuid PRIMARY KEY,
    bucket_id text NOT NULL REFERENCES storage.buckets ON DELETE CASCADE,
    name text NOT NULL,
    owner_id text,
    role text NOT NULL,
    claims jsonb NOT NULL,
    upsert boolean NOT NULL,
    length bigint NOT NULL CHECK (length >= 0),
    received bigint NOT NULL DEFAULT 0 CHECK (received BETWEEN 0 AND length),
    content_type text NOT NULL,
    cache_control text NOT NULL,
    user_metadata jsonb,
    headers jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX launchdb_uploads_expires_at_idx ON storage.launchdb_uploads (expires_at);
CREATE INDEX launchdb_uploads_bucket_id_idx ON storage.launchdb_uploads (bucket_id);

GRANT USAGE ON TYPE storage.buckettype TO anon, authenticated, service_role, launchdb_owner;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA storage FROM PUBLIC;
GRANT EXECUTE ON FUNCTION storage.operation(), storage.allow_any_operation(text[]), storage.allow_only_operation(text),
    storage.can_insert_object(text, text, uuid, jsonb), storage.get_common_prefix(text, text, text),
    storage.search(text, text, int, int, int, text, text, text), storage.search_v2(text, text, int, int, text, text, text, text)
    TO anon, authenticated, service_role, launchdb_owner;

RESET ROLE;

-- Listings that cost what they show: a folder is stepped over whatever is in it, and the planner is not asked how, since it
-- knows nothing of where in a bucket a listing is. Below row security it chose to read the whole bucket for each entry.

SET LOCAL ROLE launchdb_tpl_storage;

-- As one expression, which is put in place of each call.
CREATE OR REPLACE FUNCTION storage.get_common_prefix(p_key text, p_prefix text, p_delimiter text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN position(p_delimiter IN substr(p_key, length(p_prefix) + 1)) > 0
                THEN left(p_key, length(p_prefix) + position(p_delimiter IN substr(p_key, length(p_prefix) + 1))
                                 + length(p_delimiter) - 1) END
$$;

-- What is at one level, each folder once, in the order of the names in small letters: objects with all that is known of them,
-- folders with their names alone. skipped entries are not shown, and no more than most of the others.
CREATE FUNCTION storage.launchdb_level(bucketname text, begins text, descends boolean, most bigint, skipped bigint)
RETURNS TABLE (folder text, name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz,
               metadata jsonb)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
DECLARE
    lowest text := launchdb.lower_key(begins) COLLATE "C";
    highest text := lowest || chr(1114111);
    batch int := least(greatest(2 * (most + skipped), 100), 1000);
    seen int;
    -- Where to go on: behind this key of this name.
    at_key text := CASE WHEN descends THEN highest ELSE lowest END;
    at_name text := '';
    hit record;
BEGIN
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
                name := hit.name;
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
                at_key := launchdb.lower_key(folder);
                at_key := CASE WHEN descends THEN at_key ELSE left(at_key, -1) || '0' END;
                at_name := '';
                seen := batch;
                EXIT;
            END IF;
        END LOOP;
        EXIT WHEN seen < batch;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION storage.search(
    prefix text, bucketname text, limits int DEFAULT 100, levels int DEFAULT 1, offsets int DEFAULT 0,
    search text DEFAULT '', sortcolumn text DEFAULT 'name', sortorder text DEFAULT 'asc')
RETURNS TABLE (name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz, metadata jsonb)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    begins text := coalesce(prefix, '') || coalesce(search, '');
    cut int := length(coalesce(prefix, '')) + 1;
    descends boolean := lower(coalesce(sortorder, 'asc')) = 'desc';
    most int := least(coalesce(limits, 100), 1500);
    skipped int := coalesce(offsets, 0);
    everything bigint := 9007199254740991;
BEGIN
    IF lower(sortcolumn) IN ('updated_at', 'created_at', 'last_accessed_at') THEN
        -- Folders have no times: they come first, by their names.
        RETURN QUERY EXECUTE format(
            'SELECT substr(coalesce(rtrim(e.folder, ''/''), e.name), $3), e.id, e.updated_at, e.created_at, e.last_accessed_at,
                    e.metadata
               FROM storage.launchdb_level($1, $2, false, $6, 0) AS e
              ORDER BY e.folder IS NULL, e.%1$I %2$s, coalesce(rtrim(e.folder, ''/''), e.name) COLLATE "C" %2$s
              LIMIT $4 OFFSET $5',
            lower(sortcolumn), CASE WHEN descends THEN 'DESC' ELSE 'ASC' END)
            USING bucketname, begins, cut, most, skipped, everything;
        RETURN;
    END IF;
    RETURN QUERY SELECT substr(coalesce(rtrim(l.folder, '/'), l.name), cut), l.id, l.updated_at, l.created_at,
                        l.last_accessed_at, l.metadata
                   FROM storage.launchdb_level(bucketname, begins, descends, most, skipped) l;
END $$;

CREATE OR REPLACE FUNCTION storage.search_v2(
    prefix text, bucket_name text, limits int DEFAULT 100, levels int DEFAULT 1, start_after text DEFAULT '',
    sort_order text DEFAULT 'asc', sort_column text DEFAULT 'name', sort_column_after text DEFAULT '')
RETURNS TABLE (key text, name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz,
               metadata jsonb)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
DECLARE
    begins text := coalesce(prefix, '') COLLATE "C";
    highest text := begins || chr(1114111);
    descends boolean := lower(coalesce(sort_order, 'asc')) = 'desc';
    most int := coalesce(limits, 100);
    batch int := least(greatest(2 * most, 100), 1000);
    seen int;
    at_name text := CASE WHEN coalesce(start_after, '') <> '' THEN start_after WHEN descends THEN highest ELSE '' END;
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
        -- Past all that is in it: no key holds this character.
        at_name := at_name || chr(1114111);
    END IF;
    WHILE most > 0 LOOP
        seen := 0;
        FOR hit IN
            SELECT * FROM (
                (SELECT o.* FROM storage.objects o
                  WHERE NOT descends AND o.bucket_id = bucket_name AND o.name COLLATE "C" >= begins
                    AND o.name COLLATE "C" < highest AND o.name COLLATE "C" > at_name
                  ORDER BY o.name COLLATE "C" LIMIT batch)
                UNION ALL
                (SELECT o.* FROM storage.objects o
                  WHERE descends AND o.bucket_id = bucket_name AND o.name COLLATE "C" >= begins AND o.name COLLATE "C" < at_name
                  ORDER BY o.name COLLATE "C" DESC LIMIT batch)) AS o
        LOOP
            seen := seen + 1;
            most := most - 1;
            folder := storage.get_common_prefix(hit.name, begins, '/');
            key := coalesce(rtrim(folder, '/'), hit.name);
            name := coalesce(folder, hit.name);
            id := CASE WHEN folder IS NULL THEN hit.id END;
            updated_at := CASE WHEN folder IS NULL THEN hit.updated_at END;
            created_at := CASE WHEN folder IS NULL THEN hit.created_at END;
            last_accessed_at := CASE WHEN folder IS NULL THEN hit.last_accessed_at END;
            metadata := CASE WHEN folder IS NULL THEN hit.metadata END;
            RETURN NEXT;
            at_name := CASE WHEN folder IS NULL THEN hit.name WHEN descends THEN folder ELSE folder || chr(1114111) END;
            EXIT WHEN most = 0;
            IF folder IS NOT NULL THEN
                seen := batch;
                EXIT;
            END IF;
        END LOOP;
        EXIT WHEN seen < batch;
    END LOOP;
END $$;

REVOKE EXECUTE ON FUNCTION storage.launchdb_level(text, text, boolean, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION storage.launchdb_level(text, text, boolean, bigint, bigint) TO anon, authenticated, service_role, launchdb_owner;

RESET ROLE;

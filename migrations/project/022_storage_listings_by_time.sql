-- A folder that is sorted by a time is read whole: its objects a range at a time, and not one by one.

SET LOCAL ROLE launchdb_tpl_storage;

-- All that is at one level, in no order: objects with all that is known of them, folders, each once, with their names alone.
CREATE FUNCTION storage.launchdb_whole_level(bucketname text, begins text)
RETURNS TABLE (folder text, name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz,
               metadata jsonb)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
DECLARE
    at_key text := launchdb.lower_key(begins) COLLATE "C";
    highest text := at_key || chr(1114111);
    next_folder text;
    ends text;
BEGIN
    LOOP
        SELECT storage.get_common_prefix(o.name, begins, '/') INTO next_folder FROM storage.objects o
         WHERE o.bucket_id = bucketname AND launchdb.lower_key(o.name) COLLATE "C" >= at_key
           AND launchdb.lower_key(o.name) COLLATE "C" < highest AND position('/' IN substr(o.name, length(begins) + 1)) > 0
         ORDER BY launchdb.lower_key(o.name) COLLATE "C", o.name COLLATE "C" LIMIT 1;
        ends := coalesce(launchdb.lower_key(next_folder), highest);
        RETURN QUERY SELECT NULL::text, o.name, o.id, o.updated_at, o.created_at, o.last_accessed_at, o.metadata
                       FROM storage.objects o
                      WHERE o.bucket_id = bucketname AND launchdb.lower_key(o.name) COLLATE "C" >= at_key
                        AND launchdb.lower_key(o.name) COLLATE "C" < ends;
        EXIT WHEN next_folder IS NULL;
        RETURN QUERY SELECT next_folder, next_folder, NULL::uuid, NULL::timestamptz, NULL::timestamptz, NULL::timestamptz,
                            NULL::jsonb;
        -- Past all that is in it: the character behind the slash is the zero.
        at_key := left(ends, -1) || '0';
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
BEGIN
    IF lower(sortcolumn) IN ('updated_at', 'created_at', 'last_accessed_at') THEN
        -- Folders have no times: they come first, by their names.
        RETURN QUERY EXECUTE format(
            'SELECT substr(coalesce(rtrim(e.folder, ''/''), e.name), $3), e.id, e.updated_at, e.created_at, e.last_accessed_at,
                    e.metadata
               FROM storage.launchdb_whole_level($1, $2) AS e
              ORDER BY e.folder IS NULL, e.%1$I %2$s, coalesce(rtrim(e.folder, ''/''), e.name) COLLATE "C" %2$s
              LIMIT $4 OFFSET $5',
            lower(sortcolumn), CASE WHEN descends THEN 'DESC' ELSE 'ASC' END)
            USING bucketname, begins, cut, most, skipped;
        RETURN;
    END IF;
    RETURN QUERY SELECT substr(coalesce(rtrim(l.folder, '/'), l.name), cut), l.id, l.updated_at, l.created_at,
                        l.last_accessed_at, l.metadata
                   FROM storage.launchdb_level(bucketname, begins, descends, most, skipped) l;
END $$;

REVOKE EXECUTE ON FUNCTION storage.launchdb_whole_level(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION storage.launchdb_whole_level(text, text) TO anon, authenticated, service_role, launchdb_owner;

RESET ROLE;

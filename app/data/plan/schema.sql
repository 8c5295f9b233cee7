-- name: tables
-- The exposed relations with columns and keys: all that most requests are planned against. The rest of the catalogue
-- is read when a request first needs it. Names come out qualified because the search path is empty meanwhile.
-- Built by hand rather than from the information schema, whose views check privileges row by row.
WITH RECURSIVE exposed AS MATERIALIZED (
    SELECT oid, nspname FROM pg_catalog.pg_namespace WHERE nspname = ANY (%(schemas)s::text[])
),
domains AS (
    SELECT oid, typbasetype AS base FROM pg_catalog.pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT d.oid, t.typbasetype FROM domains d JOIN pg_catalog.pg_type t ON t.oid = d.base WHERE t.typtype = 'd'
),
base_types AS (
    SELECT d.oid, d.base FROM domains d JOIN pg_catalog.pg_type t ON t.oid = d.base AND t.typtype <> 'd'
),
relations AS MATERIALIZED (
    SELECT c.oid, c.relname, c.relkind, x.nspname,
           CASE WHEN c.relkind IN ('v', 'f') THEN pg_catalog.pg_relation_is_updatable(c.oid, true)
                WHEN c.relkind IN ('r', 'p') THEN 28 ELSE 0 END AS events
      FROM pg_catalog.pg_class c JOIN exposed x ON x.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT c.relispartition
),
columns AS (
    SELECT r.oid, json_agg(json_build_array(
               a.attname,
               CASE WHEN t.typtype = 'd' AND t.typbasetype <> 0 AND bt.typnamespace = 'pg_catalog'::regnamespace
                         THEN pg_catalog.format_type(b.base, NULL)
                    WHEN t.typtype <> 'd' AND t.typnamespace = 'pg_catalog'::regnamespace
                         THEN pg_catalog.format_type(a.atttypid, NULL)
                    ELSE pg_catalog.format_type(a.atttypid, a.atttypmod) END,
               pg_catalog.format_type(a.atttypid, a.atttypmod),
               CASE WHEN t.typbasetype <> 0 AND d.adbin IS NULL THEN pg_catalog.pg_get_expr(t.typdefaultbin, 0)
                    WHEN a.attidentity = 'd' THEN pg_catalog.format('nextval(%%L)', s.objid::regclass)
                    WHEN a.attgenerated = 's' THEN NULL
                    ELSE pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
               NOT (a.attnotnull OR t.typtype = 'd' AND t.typnotnull)
           ) ORDER BY a.attnum) AS list
      FROM relations r
      JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
      JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
      LEFT JOIN base_types b ON b.oid = t.oid
      LEFT JOIN pg_catalog.pg_type bt ON bt.oid = b.base
      LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      LEFT JOIN pg_catalog.pg_depend s ON a.attidentity = 'd' AND s.refclassid = 'pg_class'::regclass
           AND s.refobjid = a.attrelid AND s.refobjsubid = a.attnum AND s.deptype = 'i'
     GROUP BY r.oid
),
keys AS (
    SELECT k.conrelid, json_agg(a.attname ORDER BY a.attname) AS list
      FROM pg_catalog.pg_constraint k
      JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
     WHERE k.contype = 'p' AND k.connamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
     GROUP BY k.conrelid
),
role_settings AS (
    -- What was set for a role that requests run as, but for what this login may not set: it would fail each request.
    SELECT pg_catalog.pg_get_userbyid(s.setrole) AS role, s.setdatabase, entry
      FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) AS entry
     WHERE s.setrole <> pg_catalog.quote_ident(current_user)::regrole AND pg_catalog.pg_has_role(s.setrole, 'MEMBER')
       AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_settings g
                        WHERE lower(g.name) = lower(split_part(entry, '=', 1)) AND g.context <> 'user'
                          AND NOT pg_catalog.has_parameter_privilege(g.name, 'SET'))
),
representations AS (
    -- Implicit casts between a domain and what travels: how its values are written as JSON, and read from JSON and text.
    SELECT json_build_array(pg_catalog.format_type(c.castsource, NULL), pg_catalog.format_type(c.casttarget, NULL),
                            c.castfunc::regproc::text) AS entry
      FROM pg_catalog.pg_cast c
      JOIN pg_catalog.pg_type s ON s.oid = c.castsource
      JOIN pg_catalog.pg_type t ON t.oid = c.casttarget
     WHERE c.oid >= 16384 AND c.castcontext = 'i' AND c.castmethod = 'f'
       AND (s.typtype = 'd' AND c.casttarget = 'json'::regtype
            OR t.typtype = 'd' AND c.castsource IN ('json'::regtype, 'text'::regtype))
       AND pg_catalog.has_function_privilege(c.castfunc, 'EXECUTE')
),
media_types AS MATERIALIZED (
    -- A domain that is named like a media type: what returns it makes an answer of that type.
    SELECT t.oid, t.typname, n.nspname,
           CASE t.typname WHEN '*/*' THEN 'application/octet-stream' ELSE t.typname END AS sent,
           b.base = 'bytea'::regtype AS is_binary
      FROM pg_catalog.pg_type t
      JOIN base_types b ON b.oid = t.oid
      JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
     WHERE t.typtype = 'd' AND (t.typname = '*/*' OR t.typname ~* '^[a-z0-9.-]+/[a-z0-9.+-]+$')
),
handlers AS (
    -- Aggregates of any rows, or of one relation's; and functions, whose value is cast to its own type.
    SELECT json_build_array(x.nspname, p.proname, n.nspname, nullif(t.typname, 'anyelement'), lower(m.typname), m.sent,
                            m.is_binary) AS entry
      FROM media_types m
      JOIN pg_catalog.pg_proc p ON p.prorettype = m.oid AND p.prokind = 'a' AND p.pronargs = 1
      JOIN exposed x ON x.oid = p.pronamespace
      JOIN pg_catalog.pg_type t ON t.oid = p.proargtypes[0] AND (t.typtype = 'c' OR t.oid = 'anyelement'::regtype)
      JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    UNION ALL
    SELECT json_build_array(m.nspname, m.typname, x.nspname, p.proname, lower(m.typname), m.sent, m.is_binary)
      FROM media_types m
      JOIN pg_catalog.pg_proc p ON p.prorettype = m.oid AND p.prokind = 'f' AND NOT p.proretset
      JOIN exposed x ON x.oid = p.pronamespace
)
SELECT json_build_object(
    'tables', (SELECT coalesce(json_agg(json_build_array(
                   r.nspname, r.relname, r.relkind, r.events, coalesce(k.list, '[]'), coalesce(c.list, '[]'))), '[]')
                 FROM relations r LEFT JOIN columns c USING (oid) LEFT JOIN keys k ON k.conrelid = r.oid),
    'representations', (SELECT coalesce(json_agg(entry), '[]') FROM representations),
    'handlers', (SELECT coalesce(json_agg(entry), '[]') FROM handlers WHERE EXISTS (SELECT FROM media_types)),
    'role_settings', (SELECT coalesce(json_agg(json_build_array(role, entry) ORDER BY setdatabase), '[]') FROM role_settings),
    -- A project's owner cannot alter roles; see migrations/project/005_role_settings.sql.
    'own_role_settings', pg_catalog.obj_description(pg_catalog.to_regnamespace('launchdb_role_settings'), 'pg_namespace')
)::text

-- name: links
-- Foreign keys, and functions from a row to rows: what relations are embedded by.
WITH unique_keys AS (
    SELECT conrelid, array_agg(key ORDER BY key) AS list
      FROM pg_catalog.pg_constraint, LATERAL unnest(conkey) AS _ (key)
     WHERE contype IN ('p', 'u') AND connamespace <> 'pg_catalog'::regnamespace
     GROUP BY oid, conrelid
),
foreign_keys AS (
    SELECT json_build_array(
               n1.nspname, t.relname, n2.nspname, o.relname, k.conrelid = k.confrelid, k.conname, p.pairs,
               (k.conrelid, p.numbers) IN (SELECT conrelid, list FROM unique_keys)
           ) AS entry
      FROM pg_catalog.pg_constraint k
      JOIN LATERAL (
          SELECT json_agg(json_build_array(c.attname, f.attname) ORDER BY ord) AS pairs,
                 array_agg(c.attnum ORDER BY c.attnum) AS numbers
            FROM unnest(k.conkey, k.confkey) WITH ORDINALITY AS _ (col, ref, ord)
            JOIN pg_catalog.pg_attribute c ON c.attrelid = k.conrelid AND c.attnum = col
            JOIN pg_catalog.pg_attribute f ON f.attrelid = k.confrelid AND f.attnum = ref
      ) p ON true
      JOIN pg_catalog.pg_class t ON t.oid = k.conrelid
      JOIN pg_catalog.pg_namespace n1 ON n1.oid = t.relnamespace
      JOIN pg_catalog.pg_class o ON o.oid = k.confrelid
      JOIN pg_catalog.pg_namespace n2 ON n2.oid = o.relnamespace
     WHERE k.contype = 'f' AND k.conparentid = 0
     ORDER BY k.conrelid, k.conname
),
computed AS (
    SELECT json_build_array(n.nspname, p.proname, an.nspname, ac.relname, rn.nspname, rc.relname,
                            NOT p.proretset OR p.prorows = 1) AS entry
      FROM pg_catalog.pg_proc p
      JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
      JOIN pg_catalog.pg_class ac ON ac.reltype = p.proargtypes[0] AND ac.relkind IN ('v', 'r', 'm', 'f', 'p')
      JOIN pg_catalog.pg_namespace an ON an.oid = ac.relnamespace
      JOIN pg_catalog.pg_class rc ON rc.reltype = p.prorettype AND rc.relkind IN ('v', 'r', 'm', 'f', 'p')
      JOIN pg_catalog.pg_namespace rn ON rn.oid = rc.relnamespace
     WHERE p.pronargs = 1 AND p.proargtypes[0] >= 16384 AND p.prorettype >= 16384
)
SELECT json_build_object(
    'foreign_keys', (SELECT coalesce(json_agg(entry), '[]') FROM foreign_keys),
    'computed', (SELECT coalesce(json_agg(entry), '[]') FROM computed)
)::text

-- name: routines
-- The functions that may be called, with their parameters.
WITH RECURSIVE exposed AS MATERIALIZED (
    SELECT oid, nspname FROM pg_catalog.pg_namespace WHERE nspname = ANY (%(schemas)s::text[])
),
domains AS (
    SELECT oid, typbasetype AS base FROM pg_catalog.pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT d.oid, t.typbasetype FROM domains d JOIN pg_catalog.pg_type t ON t.oid = d.base WHERE t.typtype = 'd'
),
base_types AS (
    SELECT d.oid, d.base FROM domains d JOIN pg_catalog.pg_type t ON t.oid = d.base AND t.typtype <> 'd'
),
arguments AS (
    SELECT p.oid,
           json_agg(json_build_array(
               coalesce(name, ''), pg_catalog.format_type(type, NULL),
               CASE type WHEN 'bit'::regtype THEN 'bit varying' WHEN 'bit[]'::regtype THEN 'bit varying[]'
                         WHEN 'character'::regtype THEN 'character varying'
                         WHEN 'character[]'::regtype THEN 'character varying[]'
                         ELSE pg_catalog.format_type(type, NULL) END,
               idx <= (pronargs - pronargdefaults), coalesce(mode = 'v', false)
           ) ORDER BY idx) AS list,
           CASE count(*) - count(nullif(name, ''))
               WHEN 0 THEN true
               WHEN 1 THEN (array_agg(type))[1] IN ('bytea'::regtype, 'json'::regtype, 'jsonb'::regtype,
                                                    'text'::regtype, 'xml'::regtype)
               ELSE false END AS callable
      FROM pg_catalog.pg_proc p JOIN exposed x ON x.oid = p.pronamespace,
           unnest(proargnames, proargtypes::oid[], proargmodes) WITH ORDINALITY AS _ (name, type, mode, idx)
     WHERE type IS NOT NULL
     GROUP BY p.oid
),
functions AS (
    SELECT json_build_array(
               x.nspname, p.proname, coalesce(a.list, '[]'), tn.nspname, coalesce(c.relname, t.typname), p.proretset,
               t.typtype = 'c' OR coalesce(p.proargmodes::text[] && '{t,b,o}', false),
               p.provolatile, p.proconfig, pt.typtype = 'd'
           ) AS entry
      FROM pg_catalog.pg_proc p
      JOIN exposed x ON x.oid = p.pronamespace
      LEFT JOIN arguments a ON a.oid = p.oid
      LEFT JOIN base_types b ON b.oid = p.prorettype
      JOIN pg_catalog.pg_type pt ON pt.oid = p.prorettype
      JOIN pg_catalog.pg_type t ON t.oid = coalesce(b.base, p.prorettype)
      JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
      LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
     WHERE p.prokind = 'f' AND t.oid <> 'trigger'::regtype AND t.oid <> 'event_trigger'::regtype
       AND coalesce(a.callable, true)
     ORDER BY p.pronargs, p.oid
)
SELECT json_build_object(
    'functions', (SELECT coalesce(json_agg(entry), '[]') FROM functions)
)::text

-- name: stamp
SELECT launchdb.schema_stamp()::text

-- name: views
-- The stored query of each view; which of its columns are plain columns of a table is told from it.
SELECT c.oid::bigint, n.nspname, c.relname, r.ev_action::text,
       (SELECT json_object_agg(a.attnum, a.attname)::text FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid AND r.rulename = '_RETURN'
 WHERE c.relkind IN ('v', 'm') AND n.nspname = ANY (%(schemas)s::text[])

-- name: keys
-- Every primary and foreign key as (kind, name, table, column numbers, column names); f_ref is the far side of one.
SELECT k.kind, k.conname, k.relid::bigint, n.nspname, t.relname,
       json_agg(json_build_array(a.attnum, a.attname) ORDER BY ord)::text
  FROM (SELECT contype::text AS kind, conname, conrelid AS relid, conkey AS numbers
          FROM pg_catalog.pg_constraint WHERE contype IN ('p', 'f')
        UNION ALL
        SELECT 'f_ref', conname, confrelid, confkey FROM pg_catalog.pg_constraint WHERE contype = 'f') k
 CROSS JOIN LATERAL unnest(k.numbers) WITH ORDINALITY AS _ (number, ord)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = k.relid AND a.attnum = number
  JOIN pg_catalog.pg_class t ON t.oid = k.relid
  JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
 GROUP BY k.kind, k.conname, k.relid, n.nspname, t.relname

-- name: print
-- What stands in for the stamp where no trigger keeps one: a checksum of the catalogue's rows that a plan may rest on.
-- Rows that VACUUM, ANALYZE, TRUNCATE, an index or a temporary table write are left out, or told by what they say.
SELECT pg_catalog.concat(pg_catalog.count(*), '.', pg_catalog.sum(entry))
  FROM (
    WITH kept AS MATERIALIZED (
        SELECT oid, pg_catalog.hash_record_extended(ROW (relname, relnamespace, relkind, relispartition), oid::bigint) AS entry
          FROM pg_catalog.pg_class
         WHERE oid >= 16384 AND relpersistence <> 't' AND relkind IN ('r', 'v', 'm', 'f', 'p', 'c', 'S')
    )
    SELECT entry FROM kept
    UNION ALL
    SELECT pg_catalog.hash_record_extended(ROW (attnum, a.xmin), attrelid::bigint)
      FROM kept JOIN pg_catalog.pg_attribute a ON a.attrelid = kept.oid WHERE a.attnum > 0
    UNION ALL
    SELECT pg_catalog.hash_record_extended(ROW (3, d.xmin), d.oid::bigint)
      FROM kept JOIN pg_catalog.pg_attrdef d ON d.adrelid = kept.oid
    UNION ALL
    SELECT pg_catalog.hash_record_extended(ROW (4, k.xmin), k.oid::bigint)
      FROM pg_catalog.pg_constraint k LEFT JOIN kept ON kept.oid = k.conrelid
     WHERE k.oid >= 16384 AND (k.contypid <> 0 OR kept.oid IS NOT NULL)
    UNION ALL
    SELECT pg_catalog.hash_record_extended(ROW (5, r.xmin), r.oid::bigint)
      FROM kept JOIN pg_catalog.pg_rewrite r ON r.ev_class = kept.oid
    UNION ALL
    SELECT pg_catalog.hash_record_extended(ROW (6, t.xmin), t.oid::bigint)
      FROM kept JOIN pg_catalog.pg_trigger t ON t.tgrelid = kept.oid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT pg_catalog.hash_record_extended(ROW (7, xmin), oid::bigint) FROM pg_catalog.pg_type WHERE oid >= 16384 AND typtype IN ('d', 'e')
    UNION ALL
    SELECT pg_catalog.hash_record_extended(ROW (8, xmin), oid::bigint) FROM pg_catalog.pg_proc WHERE oid >= 16384
    UNION ALL
    SELECT pg_catalog.hash_record_extended(ROW (11, xmin), oid::bigint) FROM pg_catalog.pg_cast WHERE oid >= 16384
    UNION ALL
    SELECT pg_catalog.hash_record_extended(ROW (9, nspname), oid::bigint) FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_'
    UNION ALL
    SELECT pg_catalog.hash_record_extended(ROW (10, setdatabase, setconfig), setrole::bigint)
      FROM pg_catalog.pg_db_role_setting WHERE setrole <> 0
  ) AS entries

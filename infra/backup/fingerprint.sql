-- name: schema
-- The newest migration of ours that a project's database has; a database that is no project's has none.
SELECT CASE WHEN to_regclass('launchdb.schema_migrations') IS NOT NULL THEN
       (xpath('/row/v/text()', query_to_xml('SELECT max(version) AS v FROM launchdb.schema_migrations', false, true, ''))
       )[1]::text END;

-- name: written
-- How many rows were ever written, those of the catalogues included, and since when that is counted: a crash begins anew.
-- What backups write there to hold files is nobody's writing.
SELECT concat_ws(' ', tup_inserted + tup_updated + tup_deleted
                      - coalesce((SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_all_tables
                                   WHERE relid = to_regclass('launchdb.files_hold')), 0), stats_reset, (SELECT stats_reset FROM pg_stat_archiver))
  FROM pg_stat_database WHERE datname = current_database();

-- name: export_snapshot
SELECT pg_export_snapshot();

-- name: tables
-- Whatever holds rows of its own: those of a materialized view are made anew. What belongs to an extension is its own.
SELECT format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'launchdb')
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1;

-- name: count
SELECT count(*) FROM {table};

-- name: figures
-- What is counted otherwise: the state of sequences, and large objects.
SELECT 'sequence ' || quote_ident(schemaname) || '.' || quote_ident(sequencename) AS name, coalesce(last_value, -1)
  FROM pg_sequences WHERE schemaname !~ '^pg_' AND schemaname <> 'launchdb'
UNION ALL
SELECT 'large objects', count(*) FROM pg_largeobject_metadata;

-- name: cycling
-- Sequences that may come round to any value.
SELECT format('sequence %I.%I', n.nspname, c.relname)
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE s.seqcycle AND n.nspname !~ '^pg_' AND n.nspname <> 'launchdb';

-- name: left_out
-- What pg_dump leaves out: an index that was never finished.
SELECT format('index %I.%I', n.nspname, c.relname)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname !~ '^pg_' AND n.nspname <> 'launchdb'
 ORDER BY 1;

-- name: numbered
SELECT EXISTS (SELECT FROM pg_attribute WHERE attoptions::text LIKE '%pg_attver=%');

-- name: objects
-- What a database is made of, but for its rows. `state` is what a dump brings back as it was: existence, kind, owner,
-- rights, types, what is enabled, literal bodies. `text` is what the server prints of a parsed expression: that is not
-- the same any more when it was parsed anew. Nothing of a tenant's is run. Roles are named by the part they play.
WITH role AS MATERIALIZED (
    SELECT r.oid, coalesce(s.stands_for, CASE WHEN starts_with(r.rolname, {prefix}) THEN '<id>_' || substr(r.rolname, length({prefix}) + 1)
                    ELSE r.rolname::text END) AS name
      FROM pg_roles r LEFT JOIN jsonb_each_text({stand_ins}) AS s (name, stands_for) ON s.name = r.rolname),
named AS MATERIALIZED (SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
                        WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'launchdb')
                          -- The administrator's is made with the extensions in it; a tenant's own is a tenant's.
                          AND NOT (nspname = 'launchdb_extensions' AND (SELECT rolsuper FROM pg_roles WHERE oid = nspowner))),
kept AS MATERIALIZED (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
unfinished AS MATERIALIZED (SELECT indexrelid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                             WHERE NOT i.indisvalid AND c.relkind = 'i'),
relation AS MATERIALIZED (
    SELECT c.*, n.nspname, format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN named n ON n.oid = c.relnamespace
     WHERE c.relkind <> 't' AND ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM kept)
       AND c.oid NOT IN (SELECT indexrelid FROM unfinished)),
found AS (
    SELECT 'schema' AS kind, quote_ident(nspname) AS name, nspowner AS owner,
           coalesce(nspacl, acldefault('n', nspowner)) AS acl, '' AS state, NULL::text AS text, NULL::oid[] AS roles
      FROM named
    UNION ALL
    SELECT 'relation', c.name, c.relowner,
           coalesce(c.relacl, CASE WHEN c.relkind IN ('r', 'p', 'v', 'm', 'f') THEN acldefault('r', c.relowner)
                                   WHEN c.relkind = 'S' THEN acldefault('s', c.relowner) END),
           concat_ws(' ', c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.relreplident,
                     (SELECT string_agg(o, ',' ORDER BY o) FROM unnest(c.reloptions) AS o), nullif(c.reloftype, 0)::regtype,
                     (SELECT string_agg(h.inhparent::regclass::text, ',' ORDER BY h.inhseqno) FROM pg_inherits h
                       WHERE h.inhrelid = c.oid AND c.relkind IN ('r', 'p')),
                     (SELECT concat_ws(' ', i.indrelid::regclass, i.indisunique, i.indisprimary, i.indisexclusion,
                                       i.indimmediate, i.indnullsnotdistinct, i.indisreplident, i.indisclustered,
                                       i.indisvalid, i.indnkeyatts, i.indnatts, i.indpred IS NULL,
                                       (SELECT string_agg(coalesce(quote_ident(a.attname), '()'), ',' ORDER BY k.place)
                                          FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
                                          LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum))
                        FROM pg_index i WHERE i.indexrelid = c.oid),
                     (SELECT concat_ws(' ', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
                                       s.seqcycle) FROM pg_sequence s WHERE s.seqrelid = c.oid),
                     (SELECT concat(d.refobjid::regclass, '.', a.attname, d.deptype)
                        FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                       WHERE c.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = c.oid
                         AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') LIMIT 1)),
           concat_ws(' ', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid)
                               WHEN c.relkind IN ('i', 'I') THEN pg_get_indexdef(c.oid)
                               WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END, pg_get_expr(c.relpartbound, c.oid)), NULL
      FROM relation c
    UNION ALL
    -- A name of its own: a view that could not be filled is there, and empty.
    SELECT 'filling of', c.name, 0, NULL, '', NULL, NULL FROM relation c WHERE c.relkind = 'm' AND c.relispopulated
    UNION ALL
    SELECT 'column', format('%s.%I', c.name, a.attname), 0, a.attacl,
           concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated, a.attidentity, a.atthasdef,
                     nullif(a.attcollation, 100)::regcollation, a.attcompression,
                     -- What newer servers number columns by is another number in each database.
                     (SELECT array_agg(o) FROM unnest(a.attoptions) AS o WHERE NOT starts_with(o, 'pg_attver='))::text,
                     CASE WHEN c.relkind IN ('r', 'p', 'm') THEN concat(a.attstorage, nullif(a.attstattarget, -1)) END),
           pg_get_expr(d.adbin, d.adrelid), NULL
      FROM pg_attribute a JOIN relation c ON c.oid = a.attrelid
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'c', 'f')
    UNION ALL
    SELECT 'function', format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), p.proowner,
           coalesce(p.proacl, acldefault('f', p.proowner)),
           concat_ws(' ', p.prokind, l.lanname, pg_get_function_result(p.oid), p.provolatile, p.proisstrict, p.prosecdef,
                     p.proleakproof, p.proparallel, p.procost, p.prorows, p.pronargdefaults, config.settings,
                     p.prosqlbody IS NULL, p.probin, p.prosrc,
                     (SELECT concat_ws(' ', a.aggkind, a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.agginitval,
                                       a.aggtranstype::regtype, a.aggmtransfn) FROM pg_aggregate a WHERE a.aggfnoid = p.oid)),
           nullif(concat_ws(' ', CASE WHEN p.pronargdefaults > 0 THEN pg_get_function_arguments(p.oid) END,
                            pg_get_function_sqlbody(p.oid)), ''), NULL
      FROM pg_proc p JOIN named n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
     -- A list of names that was taken FROM CURRENT is written as somebody typed it, and comes back as the server does.
     CROSS JOIN LATERAL (
           SELECT array_agg(CASE WHEN c.setting !~ '^(search_path|temp_tablespaces|(local|session)_preload_libraries)='
                                 THEN c.setting ELSE concat(split_part(c.setting, '=', 1), '=', (
                      SELECT string_agg(quote_ident(CASE WHEN starts_with(w.word[1], '"')
                                                         THEN replace(substr(w.word[1], 2, length(w.word[1]) - 2), '""', '"')
                                                         ELSE lower(w.word[1] COLLATE "C") END), ', ' ORDER BY w.place)
                        FROM regexp_matches(substr(c.setting, strpos(c.setting, '=') + 1),
                                            '"(?:[^"]|"")*"|[^",\s]+', 'g') WITH ORDINALITY AS w (word, place)))
                             END ORDER BY c.place)::text AS settings
             FROM unnest(p.proconfig) WITH ORDINALITY AS c (setting, place)) AS config
     WHERE ('pg_proc'::regclass, p.oid) NOT IN (SELECT classid, objid FROM kept)
    UNION ALL
    SELECT 'type', format('%I.%I', n.nspname, t.typname), t.typowner, coalesce(t.typacl, acldefault('T', t.typowner)),
           concat_ws(' ', t.typtype, format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault IS NULL,
                     CASE WHEN t.typtype = 'd' THEN nullif(nullif(t.typcollation, 0), 100)::regcollation END,
                     (SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder)
                        FROM pg_enum e WHERE e.enumtypid = t.oid),
                     (SELECT concat_ws(' ', r.rngsubtype::regtype, nullif(nullif(r.rngcollation, 0), 100)::regcollation, r.rngcanonical,
                                       r.rngsubdiff, o.opcname)
                        FROM pg_range r JOIN pg_opclass o ON o.oid = r.rngsubopc WHERE r.rngtypid = t.oid)),
           t.typdefault, NULL
      FROM pg_type t JOIN named n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
     WHERE (t.typtype IN ('d', 'e', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
       AND ('pg_type'::regclass, t.oid) NOT IN (SELECT classid, objid FROM kept)
    UNION ALL
    -- The server itself names what a partition has of its parent's foreign keys: they are known by what they bind. And
    -- what a child has of a parent's unchecked constraint is checked when the child is made later, unchecked when earlier.
    SELECT 'constraint', format('%s.%s', coalesce(c.conrelid::regclass::text, c.contypid::regtype::text),
                                CASE WHEN c.contype = 'f' AND c.conparentid <> 0
                                     THEN concat('(', columns.own, ') of ', c.confrelid::regclass) ELSE quote_ident(c.conname) END),
           0, NULL, concat_ws(' ', c.contype, c.condeferrable, c.condeferred, CASE WHEN c.coninhcount = 0 THEN c.convalidated END,
                              CASE WHEN c.contype = 'c' THEN c.connoinherit END, columns.own,
                              CASE WHEN c.contype IN ('f', 'p', 'u') THEN pg_get_constraintdef(c.oid) END),
           CASE WHEN c.contype NOT IN ('f', 'p', 'u') THEN pg_get_constraintdef(c.oid) END, NULL
      FROM pg_constraint c JOIN named n ON n.oid = c.connamespace
     CROSS JOIN LATERAL (SELECT string_agg(quote_ident(a.attname), ',' ORDER BY CASE WHEN c.contype = 'c' THEN 0 ELSE k.place END,
                                           a.attname) AS own
                           FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, place)
                           JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum) AS columns
     WHERE c.contype <> 'n'  -- newer servers keep what is not null there, too
       AND (c.conrelid = 0 OR c.conrelid NOT IN (SELECT objid FROM kept WHERE classid = 'pg_class'::regclass))
    UNION ALL
    SELECT 'policy', format('%s.%I', p.polrelid::regclass, p.polname), 0, NULL,
           concat_ws(' ', p.polcmd, p.polpermissive, p.polqual IS NULL, p.polwithcheck IS NULL),
           concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)), p.polroles
      FROM pg_policy p
    UNION ALL
    SELECT 'trigger', format('%s.%I', t.tgrelid::regclass, t.tgname), 0, NULL,
           concat_ws(' ', t.tgfoid::regprocedure, t.tgtype, t.tgenabled, t.tgconstraint <> 0, t.tgdeferrable, t.tginitdeferred,
                     encode(t.tgargs, 'hex'), t.tgqual IS NULL, t.tgoldtable, t.tgnewtable,
                     (SELECT string_agg(quote_ident(a.attname), ',' ORDER BY a.attname) FROM pg_attribute a
                       WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr))),
           CASE WHEN t.tgqual IS NOT NULL THEN pg_get_triggerdef(t.oid) END, NULL
      FROM pg_trigger t WHERE NOT t.tgisinternal OR t.tgparentid <> 0 AND t.tgconstraint = 0
    UNION ALL
    SELECT 'rule', format('%s.%I', c.name, r.rulename), 0, NULL, concat_ws(' ', r.ev_type, r.ev_enabled, r.is_instead),
           pg_get_ruledef(r.oid), NULL
      FROM pg_rewrite r JOIN relation c ON c.oid = r.ev_class WHERE r.rulename <> '_RETURN'
    UNION ALL
    SELECT 'statistics', format('%I.%I', n.nspname, s.stxname), s.stxowner, NULL,
           concat_ws(' ', s.stxrelid::regclass, s.stxkind::text, nullif(s.stxstattarget, -1)), pg_get_statisticsobjdef(s.oid), NULL
      FROM pg_statistic_ext s JOIN named n ON n.oid = s.stxnamespace
    UNION ALL
    SELECT 'collation', format('%I.%I', n.nspname, c.collname), c.collowner, NULL,
           concat_ws(' ', c.collprovider, c.collisdeterministic, c.collcollate, c.collctype,
                     to_jsonb(c) ->> 'colllocale', c.collicurules), NULL, NULL
      FROM pg_collation c JOIN named n ON n.oid = c.collnamespace
     WHERE ('pg_collation'::regclass, c.oid) NOT IN (SELECT classid, objid FROM kept)
    UNION ALL
    SELECT 'operator', o.oid::regoperator::text, o.oprowner, NULL,
           concat_ws(' ', o.oprcode, o.oprresult::regtype, nullif(o.oprcom, 0)::regoperator, nullif(o.oprnegate, 0)::regoperator, o.oprcanhash,
                     o.oprcanmerge, o.oprrest, o.oprjoin), NULL, NULL
      FROM pg_operator o JOIN named n ON n.oid = o.oprnamespace
     WHERE ('pg_operator'::regclass, o.oid) NOT IN (SELECT classid, objid FROM kept)
    UNION ALL
    SELECT 'cast', format('(%s AS %s)', c.castsource::regtype, c.casttarget::regtype), 0, NULL,
           concat_ws(' ', nullif(c.castfunc, 0)::regprocedure, c.castcontext, c.castmethod), NULL, NULL
      FROM pg_cast c WHERE c.oid >= 16384 AND ('pg_cast'::regclass, c.oid) NOT IN (SELECT classid, objid FROM kept)
    UNION ALL
    SELECT 'conversion', format('%I.%I', n.nspname, c.conname), c.conowner, NULL,
           concat_ws(' ', c.conproc, c.conforencoding, c.contoencoding, c.condefault), NULL, NULL
      FROM pg_conversion c JOIN named n ON n.oid = c.connamespace
    UNION ALL
    SELECT 'text search', format('%I.%I', n.nspname, c.cfgname), c.cfgowner, NULL,
           (SELECT string_agg(concat(m.maptokentype, m.mapdict::regdictionary), ',' ORDER BY m.maptokentype, m.mapseqno)
              FROM pg_ts_config_map m WHERE m.mapcfg = c.oid), NULL, NULL
      FROM pg_ts_config c JOIN named n ON n.oid = c.cfgnamespace
     WHERE ('pg_ts_config'::regclass, c.oid) NOT IN (SELECT classid, objid FROM kept)
    UNION ALL
    SELECT 'dictionary', format('%I.%I', n.nspname, d.dictname), d.dictowner, NULL,
           concat_ws(' ', t.tmplname, d.dictinitoption), NULL, NULL
      FROM pg_ts_dict d JOIN named n ON n.oid = d.dictnamespace JOIN pg_ts_template t ON t.oid = d.dicttemplate
     WHERE ('pg_ts_dict'::regclass, d.oid) NOT IN (SELECT classid, objid FROM kept)
    UNION ALL
    SELECT 'default rights', format('%s %s %s', role.name, coalesce(n.nspname, ''), d.defaclobjtype), 0, d.defaclacl, '', NULL, NULL
      FROM pg_default_acl d JOIN role ON role.oid = d.defaclrole LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    UNION ALL
    SELECT 'extension', e.extname, 0, NULL, n.nspname::text, NULL, NULL
      FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    UNION ALL
    SELECT 'publication', quote_ident(p.pubname), p.pubowner, NULL,
           concat_ws(' ', p.puballtables, p.pubviaroot, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate,
                     (SELECT string_agg(concat(r.prrelid::regclass, (SELECT string_agg(quote_ident(a.attname), ',' ORDER BY a.attname)
                                                                      FROM pg_attribute a WHERE a.attrelid = r.prrelid
                                                                       AND a.attnum = ANY (r.prattrs))), ' ' ORDER BY r.prrelid::regclass::text)
                        FROM pg_publication_rel r WHERE r.prpubid = p.oid),
                     (SELECT string_agg(r.pnnspid::regnamespace::text, ' ' ORDER BY r.pnnspid::regnamespace::text)
                        FROM pg_publication_namespace r WHERE r.pnpubid = p.oid)),
           (SELECT string_agg(pg_get_expr(r.prqual, r.prrelid), ' ' ORDER BY r.prrelid::regclass::text)
              FROM pg_publication_rel r WHERE r.prpubid = p.oid), NULL
      FROM pg_publication p
    UNION ALL
    SELECT 'comment on', concat(o.type, ' ', o.identity), 0, NULL, d.description, NULL, NULL
      FROM pg_description d CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) AS o
     WHERE (d.objoid >= 16384 OR d.objoid IN (SELECT oid FROM named)) AND o.type NOT IN ('extension', 'event trigger', 'large object')
       AND NOT (o.type = 'schema' AND (o.identity = 'launchdb' OR d.description = 'standard public schema')) AND o.schema IS DISTINCT FROM 'launchdb'
       AND (d.classoid, d.objoid) NOT IN (SELECT classid, objid FROM kept) AND d.objoid NOT IN (SELECT indexrelid FROM unfinished))
SELECT f.kind, f.name, concat_ws('|', (SELECT role.name FROM role WHERE role.oid = f.owner),
       (SELECT string_agg(concat(coalesce(role.name, 'public'), '=', a.privilege_type, CASE WHEN a.is_grantable THEN '*' END), ','
                          ORDER BY coalesce(role.name, 'public') COLLATE "C", a.privilege_type)
          FROM aclexplode(f.acl) a LEFT JOIN role ON role.oid = a.grantee),
       (SELECT string_agg(coalesce(role.name, 'public'), ',' ORDER BY coalesce(role.name, 'public') COLLATE "C")
          FROM unnest(f.roles) AS r (oid) LEFT JOIN role ON role.oid = r.oid), f.state) AS state, f.text
  FROM found f ORDER BY 1, 2, 3;

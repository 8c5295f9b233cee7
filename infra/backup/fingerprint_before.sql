-- name: objects
-- As sets were compared before expressions stood apart from what they belong to: kept for those sets alone.
WITH named AS (SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
                WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'launchdb')
                          -- The administrator's is made with the extensions in it; a tenant's own is a tenant's.
                          AND NOT (nspname = 'launchdb_extensions' AND (SELECT rolsuper FROM pg_roles WHERE oid = nspowner))),
kept AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
found AS (
    SELECT 'schema' AS kind, quote_ident(nspname) AS name, nspowner AS owner, coalesce(nspacl, acldefault('n', nspowner))
           AS acl, '' AS state FROM named
    UNION ALL
    SELECT 'relation', format('%I.%I', n.nspname, c.relname), c.relowner,
           coalesce(c.relacl, CASE WHEN c.relkind IN ('r', 'p', 'v', 'm', 'f') THEN acldefault('r', c.relowner)
                                   WHEN c.relkind = 'S' THEN acldefault('s', c.relowner) END),
           concat_ws(' ', c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.reloptions::text,
                     CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid)
                          WHEN c.relkind IN ('i', 'I') THEN pg_get_indexdef(c.oid) END)
      FROM pg_class c JOIN named n ON n.oid = c.relnamespace
     WHERE c.relkind <> 't' AND ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM kept)
    UNION ALL
    SELECT 'column', format('%I.%I.%I', n.nspname, c.relname, a.attname), 0, a.attacl,
           concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated, a.attidentity,
                     pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN named n ON n.oid = c.relnamespace
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'c')
       AND ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM kept)
    UNION ALL
    SELECT 'function', format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), p.proowner,
           coalesce(p.proacl, acldefault('f', p.proowner)),
           CASE WHEN p.prokind IN ('f', 'p', 'w') THEN pg_get_functiondef(p.oid) ELSE p.prokind::text END
      FROM pg_proc p JOIN named n ON n.oid = p.pronamespace
     WHERE ('pg_proc'::regclass, p.oid) NOT IN (SELECT classid, objid FROM kept)
    UNION ALL
    SELECT 'type', format('%I.%I', n.nspname, t.typname), t.typowner, coalesce(t.typacl, acldefault('T', t.typowner)),
           concat_ws(' ', t.typtype, format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault,
                     (SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder)
                        FROM pg_enum e WHERE e.enumtypid = t.oid))
      FROM pg_type t JOIN named n ON n.oid = t.typnamespace
     WHERE t.typtype IN ('d', 'e', 'r') AND ('pg_type'::regclass, t.oid) NOT IN (SELECT classid, objid FROM kept)
    UNION ALL
    SELECT 'constraint', format('%s.%I', coalesce(c.conrelid::regclass::text, c.contypid::regtype::text), c.conname), 0, NULL,
           concat_ws(' ', pg_get_constraintdef(c.oid), c.convalidated)
      FROM pg_constraint c JOIN named n ON n.oid = c.connamespace
    UNION ALL
    SELECT 'policy', format('%s.%I', p.polrelid::regclass, p.polname), 0, NULL,
           concat_ws(' ', p.polcmd, p.polpermissive, (SELECT string_agg(name, ',' ORDER BY name) FROM (
                     SELECT CASE r WHEN 0 THEN 'public' ELSE pg_get_userbyid(r)::text END AS name
                       FROM unnest(p.polroles) r) AS named), pg_get_expr(p.polqual, p.polrelid),
                     pg_get_expr(p.polwithcheck, p.polrelid))
      FROM pg_policy p
    UNION ALL
    SELECT 'trigger', format('%s.%I', t.tgrelid::regclass, t.tgname), 0, NULL, concat(pg_get_triggerdef(t.oid), t.tgenabled)
      FROM pg_trigger t WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'rule', format('%I.%I.%I', schemaname, tablename, rulename), 0, NULL, definition FROM pg_rules
     WHERE schemaname IN (SELECT nspname FROM named)
    UNION ALL
    SELECT 'default rights', format('%I %s %s', pg_get_userbyid(d.defaclrole), coalesce(n.nspname, ''), d.defaclobjtype),
           0, d.defaclacl, '' FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    UNION ALL
    SELECT 'extension', e.extname, 0, NULL, n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    UNION ALL
    SELECT 'publication', quote_ident(p.pubname), p.pubowner, NULL,
           concat_ws(' ', p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate,
                     (SELECT string_agg(t.schemaname || '.' || t.tablename, ',' ORDER BY t.schemaname, t.tablename)
                        FROM pg_publication_tables t WHERE t.pubname = p.pubname))
      FROM pg_publication p)
SELECT f.kind, f.name, concat_ws('|', CASE f.owner WHEN 0 THEN '' ELSE pg_get_userbyid(f.owner) END,
       (SELECT string_agg(concat(CASE a.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END, '=',
                                 a.privilege_type, CASE WHEN a.is_grantable THEN '*' END), ',' ORDER BY
                                 CASE a.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type)
          FROM aclexplode(f.acl) a), f.state) AS state
  FROM found f ORDER BY 1, 2, 3;

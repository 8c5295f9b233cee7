-- by: administrator
-- Packages for claims open themselves to whoever is not logged in as 'authenticator', as the login of all requests is
-- called elsewhere. Here each project's is called otherwise, so they would open themselves to everybody.

CREATE FUNCTION launchdb.mistakes_the_login(definition text) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT regexp_replace(definition, '--[^\n]*|/\*.*?\*/', '', 'g')
           ~* 'session_user[^;]*''authenticator''|''authenticator''[^;]*session_user'
$$;

-- What there is of it already, to be looked through after an update or a restore, which bring what there was.
CREATE FUNCTION launchdb.mistaken_logins() RETURNS TABLE (kind text, name text) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'function', p.oid::regprocedure::text FROM pg_proc p
     WHERE p.oid >= 16384 AND p.prokind IN ('f', 'p') AND p.pronamespace <> 'launchdb'::regnamespace
       AND launchdb.mistakes_the_login(pg_get_functiondef(p.oid))
    UNION ALL
    SELECT 'policy', format('%I on %s', l.polname, l.polrelid::regclass) FROM pg_policy l
     WHERE launchdb.mistakes_the_login(concat_ws(' ', pg_get_expr(l.polqual, l.polrelid), pg_get_expr(l.polwithcheck, l.polrelid)))
    UNION ALL
    SELECT 'view', c.oid::regclass::text FROM pg_class c
     WHERE c.oid >= 16384 AND c.relkind IN ('v', 'm') AND launchdb.mistakes_the_login(pg_get_viewdef(c.oid))
$$;
GRANT EXECUTE ON FUNCTION launchdb.mistakes_the_login(text), launchdb.mistaken_logins() TO PUBLIC;

CREATE FUNCTION launchdb.refuse_mistaken_login() RETURNS event_trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made record;
BEGIN
    -- A restore brings back what there was.
    IF session_user ~ '^proj_[0-9a-f]{16}_restore$' THEN
        RETURN;
    END IF;
    FOR made IN
        SELECT object_type, object_identity FROM pg_event_trigger_ddl_commands() c
         WHERE CASE WHEN c.object_type IN ('function', 'procedure') AND c.command_tag LIKE 'CREATE %'
                         THEN launchdb.mistakes_the_login(pg_get_functiondef(c.objid))
                    WHEN c.object_type = 'policy'
                         THEN (SELECT launchdb.mistakes_the_login(concat_ws(' ', pg_get_expr(l.polqual, l.polrelid),
                                                                            pg_get_expr(l.polwithcheck, l.polrelid)))
                                 FROM pg_policy l WHERE l.oid = c.objid)
                    WHEN c.object_type IN ('view', 'materialized view') AND c.command_tag LIKE 'CREATE %'
                         THEN launchdb.mistakes_the_login(pg_get_viewdef(c.objid)) END
    LOOP
        RAISE insufficient_privilege USING
            MESSAGE = format('%s %s takes session_user = ''authenticator'' for a request, which here is never so',
                             made.object_type, made.object_identity),
            HINT = 'Requests log in as the project''s own login: write session_user LIKE ''%\_authenticator'' instead.';
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION launchdb.refuse_mistaken_login() FROM PUBLIC;

CREATE EVENT TRIGGER launchdb_mistaken_login ON ddl_command_end EXECUTE FUNCTION launchdb.refuse_mistaken_login();

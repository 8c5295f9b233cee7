-- by: administrator
-- Settings of the roles that requests run as. A project's owner cannot alter roles, which are the server's; what they
-- choose is kept as the comment of a schema of theirs, so it changes like a definition and comes back from a backup.

CREATE FUNCTION launchdb.set_role_setting(role text, name text, value text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known jsonb := coalesce(obj_description(to_regnamespace('launchdb_role_settings'), 'pg_namespace')::jsonb, '{}');
    own jsonb := coalesce(known -> role, '{}');
BEGIN
    IF role IS NULL OR role NOT IN ('anon', 'authenticated', 'service_role', 'authenticator', 'every_role') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('role %s is none that requests run as', quote_nullable(role)),
            HINT = 'Settings may be given to anon, authenticated, service_role, authenticator (for all requests) and every_role.';
    END IF;
    IF name ~* '^(search_path|role|session_authorization|client_encoding|transaction_.*|request\..*)$' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%I is set by each request itself', name),
            HINT = 'The schemas of the data API are a setting of the project.';
    END IF;
    IF value IS NOT NULL THEN
        BEGIN
            -- The server says what is no setting or no value of it, and this block forgets it again.
            PERFORM set_config(name, value, true);
            RAISE SQLSTATE 'LDB01';
        EXCEPTION WHEN SQLSTATE 'LDB01' THEN
            NULL;
        END;
    END IF;
    own := CASE WHEN name IS NULL THEN '{}' WHEN value IS NULL THEN own - lower(name)
                ELSE own || jsonb_build_object(lower(name), value) END;
    CREATE SCHEMA IF NOT EXISTS launchdb_role_settings;
    EXECUTE format('COMMENT ON SCHEMA launchdb_role_settings IS %L', (known || jsonb_build_object(role, own))::text);
END $$;
REVOKE EXECUTE ON FUNCTION launchdb.set_role_setting(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION launchdb.set_role_setting(text, text, text) TO launchdb_owner;

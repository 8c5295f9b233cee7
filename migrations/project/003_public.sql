-- Schema public belongs to the project's owner; schema launchdb keeps the stamp by which a change of schema is noticed.

ALTER SCHEMA public OWNER TO launchdb_tpl_public;
SET LOCAL ROLE launchdb_tpl_public;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
-- Triggers on auth.users call the owner's functions, so every login of the project finds its way into public.
GRANT USAGE ON SCHEMA public TO PUBLIC;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
RESET ROLE;

CREATE SCHEMA extensions AUTHORIZATION launchdb_tpl_public;
GRANT USAGE ON SCHEMA extensions TO PUBLIC;

GRANT USAGE ON SCHEMA launchdb TO PUBLIC;
GRANT SELECT ON launchdb.schema_migrations TO launchdb_owner;

-- The stamp is the sum over slots. A transaction that changes the schema raises one slot that no other transaction
-- holds, so that two of them neither wait for each other nor lose a change that commits late.
CREATE TABLE launchdb.schema_version (
    slot bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    changes bigint NOT NULL DEFAULT 1,
    changed_by xid8 NOT NULL DEFAULT pg_current_xact_id()
) WITH (fillfactor = 50);
ALTER TABLE launchdb.schema_version OWNER TO launchdb_stamp;
GRANT SELECT ON launchdb.schema_version TO PUBLIC;
GRANT USAGE ON SCHEMA launchdb TO launchdb_stamp;

CREATE FUNCTION launchdb.schema_stamp() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(sum(changes), 0)::bigint FROM launchdb.schema_version
$$;
GRANT EXECUTE ON FUNCTION launchdb.schema_stamp() TO PUBLIC;

-- Temporary objects are nobody else's business and would make every such session reload the schema.
CREATE FUNCTION launchdb.schema_changed() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_EVENT = 'sql_drop' THEN
        PERFORM FROM pg_event_trigger_dropped_objects() WHERE NOT is_temporary;
    ELSE
        PERFORM FROM pg_event_trigger_ddl_commands() WHERE schema_name IS DISTINCT FROM 'pg_temp';
    END IF;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM FROM launchdb.schema_version WHERE changed_by = pg_current_xact_id();
    IF FOUND THEN
        RETURN;
    END IF;
    UPDATE launchdb.schema_version SET changes = changes + 1, changed_by = pg_current_xact_id()
     WHERE slot = (SELECT slot FROM launchdb.schema_version LIMIT 1 FOR UPDATE SKIP LOCKED);
    IF NOT FOUND THEN
        INSERT INTO launchdb.schema_version DEFAULT VALUES;
    END IF;
    PERFORM pg_notify('pgrst', 'reload schema');
END $$;
ALTER FUNCTION launchdb.schema_changed() OWNER TO launchdb_stamp;
REVOKE EXECUTE ON FUNCTION launchdb.schema_changed() FROM PUBLIC;

CREATE EVENT TRIGGER launchdb_schema_changed ON ddl_command_end EXECUTE FUNCTION launchdb.schema_changed();
CREATE EVENT TRIGGER launchdb_schema_dropped ON sql_drop EXECUTE FUNCTION launchdb.schema_changed();

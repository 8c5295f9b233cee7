-- Refreshing a materialized view writes rows and changes nothing that a request is planned by: it leaves the stamp alone.

CREATE OR REPLACE FUNCTION launchdb.schema_changed() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_EVENT = 'sql_drop' THEN
        PERFORM FROM pg_event_trigger_dropped_objects() WHERE NOT is_temporary;
    ELSE
        PERFORM FROM pg_event_trigger_ddl_commands()
         WHERE schema_name IS DISTINCT FROM 'pg_temp' AND command_tag <> 'REFRESH MATERIALIZED VIEW';
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

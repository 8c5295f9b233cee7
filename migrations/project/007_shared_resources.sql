-- by: administrator
-- What all databases of the server share, and one of them could take away from the others: the table of locks, and the
-- queue of NOTIFY.

-- A session lock outlives the request that took it, and a request has no use for one: who asks for a lock with whom a
-- request runs gets one of the transaction's. The owner keeps them, for the tools that bring a schema on take one each.
REVOKE EXECUTE ON FUNCTION pg_advisory_lock(bigint), pg_advisory_lock(integer, integer), pg_advisory_lock_shared(bigint),
    pg_advisory_lock_shared(integer, integer), pg_try_advisory_lock(bigint), pg_try_advisory_lock(integer, integer),
    pg_try_advisory_lock_shared(bigint), pg_try_advisory_lock_shared(integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint), pg_advisory_lock(integer, integer), pg_advisory_lock_shared(bigint),
    pg_advisory_lock_shared(integer, integer), pg_try_advisory_lock(bigint), pg_try_advisory_lock(integer, integer),
    pg_try_advisory_lock_shared(bigint), pg_try_advisory_lock_shared(integer, integer) TO launchdb_owner;

-- A queue that is full refuses the commit of whoever notifies, which nothing in here could catch: then the stamp alone has
-- to do, by which our data API goes. Who listens reads it again when it has heard nothing for too long.
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
    IF pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('pgrst', 'reload schema');
    END IF;
END $$;

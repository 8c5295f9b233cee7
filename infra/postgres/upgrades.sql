-- name: ledger
SELECT version, checksum, applied_at FROM launchdb.schema_migrations ORDER BY version;

-- name: begin
-- Names are found as when the template was built. A tenant may hold any advisory lock of its own database, but this
-- lock on a table it can only read is not to be had by it. Who waits for a table lets nobody else through: not for long.
SET LOCAL search_path = launchdb;
SET LOCAL lock_timeout = '5s';
LOCK TABLE launchdb.schema_migrations IN SHARE ROW EXCLUSIVE MODE;

-- name: as_login
RESET ROLE;

-- name: record
INSERT INTO launchdb.schema_migrations (version, checksum) VALUES (%(version)s, %(checksum)s);

-- name: stamp
-- Event triggers are quiet in our sessions, so we say ourselves that the schema is another.
INSERT INTO launchdb.schema_version DEFAULT VALUES;
-- A queue that is full would refuse all of it.
SELECT pg_notify('pgrst', 'reload schema') WHERE pg_notification_queue_usage() < 0.5;

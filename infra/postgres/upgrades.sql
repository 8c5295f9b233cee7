-- name: ledger
SELECT version, checksum, applied_at FROM launchdb.schema_migrations ORDER BY version;

-- name: begin
-- Names are found as when the template was built. A tenant may hold any advisory lock of its own database, but this
-- lock on a table it can only read is not to be had by it. Who waits for a table lets nobody else through: not for long.
SET LOCAL search_path = launchdb;
SET LOCAL lock_timeout = '5s';
LOCK TABLE launchdb.schema_migrations IN SHARE ROW EXCLUSIVE MODE;

-- name: lend
-- The files speak of the template's roles. In a copy its things belong to the project's, so for the length of this
-- transaction the template's roles may do what those may; nobody else sees it. What a file makes is made by them, so
-- that the owner's default privileges do not touch it, as they did not in the template.
GRANT {owner} TO launchdb_tpl_public WITH INHERIT TRUE, SET FALSE;
GRANT {auth} TO launchdb_tpl_auth WITH INHERIT TRUE, SET FALSE;
GRANT {storage} TO launchdb_tpl_storage WITH INHERIT TRUE, SET FALSE;

-- name: settle
RESET ROLE;
REASSIGN OWNED BY launchdb_tpl_public TO {owner};
REASSIGN OWNED BY launchdb_tpl_auth TO {auth};
REASSIGN OWNED BY launchdb_tpl_storage TO {storage};
REVOKE {owner} FROM launchdb_tpl_public;
REVOKE {auth} FROM launchdb_tpl_auth;
REVOKE {storage} FROM launchdb_tpl_storage;

-- name: record
INSERT INTO launchdb.schema_migrations (version, checksum) VALUES (%(version)s, %(checksum)s);

-- name: stamp
-- Event triggers are quiet in our sessions, so we say ourselves that the schema is another.
INSERT INTO launchdb.schema_version DEFAULT VALUES;
-- A queue that is full would refuse all of it.
SELECT pg_notify('pgrst', 'reload schema') WHERE pg_notification_queue_usage() < 0.5;

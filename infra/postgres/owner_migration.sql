-- name: transaction
SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text;

-- name: became
-- The server's own word: no owner can change what it says. It forgets what is very old, and then says null or refuses.
SELECT pg_xact_status(%(transaction)s::xid8);

-- name: has_records
SELECT pg_catalog.to_regclass('supabase_migrations.schema_migrations') IS NOT NULL;

-- name: is_recorded
SELECT true FROM supabase_migrations.schema_migrations WHERE version = %(version)s::pg_catalog.text;

-- name: make_schema
CREATE SCHEMA IF NOT EXISTS supabase_migrations;

-- name: make_table
-- Where the tools of Supabase look for it.
CREATE TABLE IF NOT EXISTS supabase_migrations.schema_migrations (
    version text NOT NULL PRIMARY KEY, statements text[], name text);

-- name: record
INSERT INTO supabase_migrations.schema_migrations (version, statements, name)
VALUES (%(version)s, %(statements)s, %(name)s)
ON CONFLICT (version) DO UPDATE SET statements = excluded.statements, name = excluded.name;

-- name: records
-- The table is the owner's: it may be a view by now, and as long as the owner likes.
SELECT version::text, encode(sha256(convert_to(array_to_string(statements::text[], ';' || chr(10)), 'UTF8')), 'hex')
  FROM supabase_migrations.schema_migrations LIMIT 10000;

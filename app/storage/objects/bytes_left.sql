-- name: dead
-- None while somebody needs them: a backup that names them, or a restore that may be undone.
SELECT ctid::text AS place, object_id, version FROM storage.launchdb_dead_bytes
 WHERE (%(transaction)s::text IS NULL OR died_in = %(transaction)s::text::xid8)
   AND NOT EXISTS (SELECT FROM launchdb.files_hold WHERE until > now())
 LIMIT 1000 FOR UPDATE SKIP LOCKED;

-- name: forget
DELETE FROM storage.launchdb_dead_bytes WHERE ctid = ANY (%(places)s::text[]::tid[]);

-- name: dead
SELECT ctid::text AS place, object_id, version FROM storage.launchdb_dead_bytes
 WHERE %(transaction)s::text IS NULL OR died_in = %(transaction)s::text::xid8
 LIMIT 1000 FOR UPDATE SKIP LOCKED;

-- name: forget
DELETE FROM storage.launchdb_dead_bytes WHERE ctid = ANY (%(places)s::text[]::tid[]);

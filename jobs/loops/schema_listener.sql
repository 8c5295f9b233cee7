-- name: active
-- Projects that are served: all others are about to be, or somebody is changing their database.
SELECT id FROM projects WHERE id = ANY (%(projects)s) AND status = 'active';

-- name: listen
LISTEN pgrst;

-- name: stamp
-- Our own table, which no tenant can change. With the database itself, since a restore puts another in its place, which
-- may have changed as often.
SELECT d.oid::text || '/' || (SELECT coalesce(sum(changes), 0) FROM launchdb.schema_version)
  FROM pg_database d WHERE d.datname = current_database();

-- name: active
-- Projects that are served: all others are about to be, or somebody is changing their database.
SELECT id FROM projects WHERE id = ANY (%(projects)s) AND status = 'active';

-- name: listen
LISTEN pgrst;

-- name: stamp
-- Our own table, which no tenant can change; the function of that name would do the same.
SELECT coalesce(sum(changes), 0)::bigint FROM launchdb.schema_version;

-- name: lock
-- Two requests at once cannot both take the last room. Class 19524 is the workers', each holds a number of it for life.
SELECT pg_advisory_xact_lock(19525, 0);

-- name: server
SELECT current_setting('max_connections')::int AS most,
       -- What else is reserved is there for the platform's own, which are counted by themselves.
       current_setting('superuser_reserved_connections')::int AS reserved,
       (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS in_use,
       (SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint FROM pg_database) AS database_bytes;

-- name: pools
SELECT count(*)::int AS projects, coalesce(sum(pool_size), 0)::int AS pools FROM projects WHERE status <> 'deleted';

-- name: pool_size
SELECT pool_size FROM pool_default;

-- name: set_pool_size
INSERT INTO pool_default (pool_size) VALUES (%(pool_size)s)
ON CONFLICT (id) DO UPDATE SET pool_size = excluded.pool_size;

-- name: set_pools
UPDATE projects SET pool_size = %(pool_size)s, updated_at = now()
 WHERE status <> ALL (%(leaving)s) AND pool_size <> %(pool_size)s
RETURNING id, owner_id, status;

-- name: quota
-- What was said of an owner counts; of an operator of whom nothing was said, the installation's own does not.
SELECT CASE WHEN max_projects IS NULL AND is_operator THEN 0 ELSE max_projects END FROM owners WHERE id = %(owner)s;

-- name: lock_owner
SELECT FROM owners WHERE id = %(owner)s FOR UPDATE;

-- name: count
SELECT count(*) FROM projects WHERE owner_id = %(owner)s AND status <> ALL (%(leaving)s);

-- name: create
INSERT INTO projects (id, owner_id, name, pool_size) VALUES (%(id)s, %(owner)s, %(name)s, %(pool_size)s)
ON CONFLICT (owner_id, name) WHERE status NOT IN ('deleting', 'deleted') DO NOTHING
RETURNING id, owner_id, name, status, status_reason, pool_size, created_at, updated_at;

-- name: exists
SELECT EXISTS (SELECT FROM projects WHERE id = %(id)s);

-- name: lock
SELECT FROM projects WHERE id = %(id)s FOR UPDATE;

-- name: owned
SELECT p.id, p.owner_id, p.name, p.status, p.status_reason, p.pool_size, p.created_at, p.updated_at, p.drift,
       (SELECT j.id FROM jobs j WHERE j.project_id = p.id AND j.status IN ('queued', 'retrying', 'running', 'cancelling')
           AND (j.status <> 'queued' OR j.run_at <= now())
         ORDER BY (j.status IN ('running', 'cancelling')) DESC, j.seq LIMIT 1) AS current_job
  FROM projects p WHERE p.id = %(id)s AND p.owner_id = %(owner)s AND p.status <> 'deleted';

-- name: page
-- Ids of projects are random, so the cursor is the time with the id.
SELECT p.id, p.owner_id, p.name, p.status, p.status_reason, p.pool_size, p.created_at, p.updated_at, p.drift,
       (SELECT j.id FROM jobs j WHERE j.project_id = p.id AND j.status IN ('queued', 'retrying', 'running', 'cancelling')
           AND (j.status <> 'queued' OR j.run_at <= now())
         ORDER BY (j.status IN ('running', 'cancelling')) DESC, j.seq LIMIT 1) AS current_job
  FROM projects p
 WHERE p.owner_id = %(owner)s AND p.status <> 'deleted'
   AND (%(at)s::timestamptz IS NULL OR (p.created_at, p.id) < (%(at)s::timestamptz, %(before)s))
 ORDER BY p.created_at DESC, p.id DESC LIMIT %(limit)s;

-- name: change
UPDATE projects SET name = coalesce(%(name)s, name), pool_size = coalesce(%(pool_size)s, pool_size), updated_at = now()
 WHERE id = %(id)s
   AND (name, pool_size) IS DISTINCT FROM (coalesce(%(name)s, name), coalesce(%(pool_size)s, pool_size));

-- name: status_of
SELECT status FROM projects WHERE id = %(id)s AND status <> 'deleted';

-- name: owner_of
SELECT owner_id FROM projects WHERE id = %(id)s AND status <> 'deleted';

-- name: names_of
SELECT id, name FROM projects WHERE id = ANY (%(ids)s);

-- name: rename_deleted
UPDATE projects SET name = coalesce(%(name)s, name) WHERE id = %(id)s AND owner_id = %(owner)s AND status = 'deleted';

-- name: with_quota
SELECT p.id, p.owner_id, p.name, coalesce((s.settings ->> 'databaseQuotaMb')::bigint, 0) * 1048576 AS quota, p.quota_state AS state
  FROM projects p LEFT JOIN project_settings s ON s.project_id = p.id
 WHERE p.status = ANY (%(reachable)s)
   AND (p.quota_state <> 'free' OR coalesce((s.settings ->> 'databaseQuotaMb')::bigint, 0) > 0);

-- name: set_quota_state
UPDATE projects SET quota_state = %(state)s WHERE id = %(project)s AND quota_state <> %(state)s;

-- name: is_over_quota
SELECT quota_state = 'over' FROM projects WHERE id = %(project)s;

-- name: at_quota
SELECT p.id, p.owner_id, p.name, coalesce((s.settings ->> 'databaseQuotaMb')::bigint, 0) * 1048576 AS quota, p.quota_state AS state
  FROM projects p LEFT JOIN project_settings s ON s.project_id = p.id
 WHERE p.quota_state <> 'free' AND p.status <> ALL (%(leaving)s) ORDER BY p.id;

-- name: data_key
SELECT scope, wrapped, master_key_id FROM data_keys WHERE scope = %(scope)s;

-- name: keep_data_key
-- Not by a master key that is being retired: that row would be found by no re-wrapping any more. Whoever retires it
-- waits for us at the canary.
WITH canary AS MATERIALIZED (SELECT master_key_id, next_master_key_id FROM master_key_canary FOR SHARE)
INSERT INTO data_keys (scope, wrapped, master_key_id)
SELECT %(scope)s, %(wrapped)s, %(key)s
 WHERE NOT EXISTS (SELECT FROM canary WHERE %(key)s <> ALL (ARRAY[master_key_id, coalesce(next_master_key_id, '')]))
ON CONFLICT DO NOTHING;

-- name: newest
-- The newest version that is in force, with the key that opens it.
SELECT s.name, s.version, s.sealed, k.wrapped, k.master_key_id
  FROM secrets s JOIN data_keys k USING (scope)
 WHERE s.scope = %(scope)s AND s.name = %(name)s AND NOT s.coming
 ORDER BY s.version DESC LIMIT 1;

-- name: all
-- Every version that was not forgotten, whether it is in force, was so or will be, the newest first.
SELECT s.scope, s.name, s.version, s.sealed, s.coming, s.expires_at, s.created_at, k.wrapped, k.master_key_id
  FROM secrets s JOIN data_keys k USING (scope)
 WHERE s.scope = ANY (%(scopes)s)
 ORDER BY s.scope, s.name, s.version DESC;

-- name: valid
-- Every version that is still good, the newest first.
SELECT s.name, s.version, s.sealed, k.wrapped, k.master_key_id
  FROM secrets s JOIN data_keys k USING (scope)
 WHERE s.scope = %(scope)s AND s.name = %(name)s AND (s.expires_at IS NULL OR s.expires_at > now())
 ORDER BY s.version DESC;

-- name: next_version
-- The data key's row is the lock: two writers of one scope take turns.
WITH locked AS (SELECT scope FROM data_keys WHERE scope = %(scope)s FOR UPDATE)
SELECT coalesce(max(s.version), 0) + 1 FROM locked LEFT JOIN secrets s ON s.scope = locked.scope AND s.name = %(name)s;

-- name: store
INSERT INTO secrets (scope, name, version, sealed, coming)
SELECT %(scope)s, name, %(version)s, sealed, %(coming)s
  FROM unnest(%(names)s::text[], %(sealed)s::bytea[]) AS new (name, sealed)
ON CONFLICT DO NOTHING;

-- name: list
SELECT name, version, created_at, expires_at FROM secrets WHERE scope = %(scope)s ORDER BY name, version;

-- name: enforce
-- What was coming is in force; what came before it is good for so long (NULL: without an end), not longer than it was
-- anyway. Names of which
-- nothing is coming stay as they are, so that it may be said twice.
WITH came AS (
    SELECT name, max(version) AS version FROM secrets
     WHERE scope = %(scope)s AND name = ANY (%(names)s) AND coming GROUP BY name)
UPDATE secrets s
   SET coming = false,
       expires_at = CASE WHEN s.version < came.version
                         THEN least(s.expires_at, now() + %(seconds)s::float8 * interval '1 second') END
  FROM came WHERE s.scope = %(scope)s AND s.name = came.name
RETURNING s.expires_at;

-- name: expire
UPDATE secrets SET expires_at = now()
 WHERE scope = %(scope)s AND name = %(name)s AND version = %(version)s AND (expires_at IS NULL OR expires_at > now());

-- name: forget_version
DELETE FROM secrets WHERE scope = %(scope)s AND name = %(name)s AND version = %(version)s;

-- name: forget_expired
DELETE FROM secrets WHERE scope = %(scope)s AND expires_at <= now();

-- name: forget
DELETE FROM secrets WHERE scope = %(scope)s AND name = %(name)s;

-- name: delete_all
DELETE FROM data_keys WHERE scope = %(scope)s;

-- name: scopes
SELECT scope FROM data_keys ORDER BY scope;

-- name: wrapped_by_others
SELECT scope, wrapped, master_key_id FROM data_keys
 WHERE master_key_id <> %(key)s ORDER BY scope LIMIT %(limit)s FOR UPDATE;

-- name: count_wrapped_by_others
SELECT count(*) FROM data_keys WHERE master_key_id <> %(key)s;

-- name: rewrap
UPDATE data_keys k SET wrapped = new.wrapped, master_key_id = %(key)s
  FROM unnest(%(scopes)s::text[], %(wrapped)s::bytea[]) AS new (scope, wrapped)
 WHERE k.scope = new.scope;

-- name: count_wrapped_by
SELECT count(*) FROM data_keys WHERE master_key_id = %(key)s;

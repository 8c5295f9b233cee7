-- name: data_key
SELECT scope, wrapped, master_key_id FROM data_keys WHERE scope = %(scope)s;

-- name: keep_data_key
INSERT INTO data_keys (scope, wrapped, master_key_id) VALUES (%(scope)s, %(wrapped)s, %(key)s) ON CONFLICT DO NOTHING;

-- name: newest
-- The newest version of each name, with the key that opens it.
SELECT DISTINCT ON (s.name) s.name, s.version, s.sealed, k.wrapped, k.master_key_id
  FROM secrets s JOIN data_keys k USING (scope)
 WHERE s.scope = %(scope)s AND (%(name)s::text IS NULL OR s.name = %(name)s)
 ORDER BY s.name, s.version DESC;

-- name: newest_of
SELECT DISTINCT ON (s.scope, s.name) s.scope, s.name, s.version, s.sealed, k.wrapped, k.master_key_id
  FROM secrets s JOIN data_keys k USING (scope) WHERE s.scope = ANY (%(scopes)s)
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
INSERT INTO secrets (scope, name, version, sealed)
SELECT %(scope)s, name, %(version)s, sealed FROM unnest(%(names)s::text[], %(sealed)s::bytea[]) AS new (name, sealed)
ON CONFLICT DO NOTHING;

-- name: list
SELECT name, version, created_at, expires_at FROM secrets WHERE scope = %(scope)s ORDER BY name, version;

-- name: forget
DELETE FROM secrets WHERE scope = %(scope)s AND name = %(name)s;

-- name: delete_all
DELETE FROM data_keys WHERE scope = %(scope)s;

-- name: scopes
SELECT scope FROM data_keys ORDER BY scope;

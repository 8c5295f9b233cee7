-- name: issue
INSERT INTO refresh_tokens (token_hash, family_id, owner_id, expires_at, started_at, address)
VALUES (%(hash)s, %(family)s::uuid, %(owner)s, now() + %(seconds)s * interval '1 second',
        coalesce(%(started)s::timestamptz, now()), %(address)s);

-- name: hold_owner
-- Whoever ends all sign-ins of an owner locks their row first: then no token is issued unseen meanwhile.
SELECT FROM owners o JOIN refresh_tokens r ON r.owner_id = o.id WHERE r.token_hash = %(hash)s FOR KEY SHARE OF o;

-- name: use
-- The row is the lock: of two uses at once one finds used_at set.
UPDATE refresh_tokens SET used_at = now()
 WHERE token_hash = %(hash)s AND used_at IS NULL AND revoked_at IS NULL AND expires_at > now()
RETURNING owner_id AS owner, family_id AS family, started_at AS started;

-- name: revoke_family_of
UPDATE refresh_tokens SET revoked_at = now()
 WHERE revoked_at IS NULL AND family_id = (
       SELECT family_id FROM refresh_tokens WHERE token_hash = %(hash)s AND (used_at IS NOT NULL OR revoked_at IS NOT NULL));

-- name: revoke_family
UPDATE refresh_tokens SET revoked_at = now() WHERE family_id = %(family)s::uuid AND revoked_at IS NULL;

-- name: revoke_family_of_owner
UPDATE refresh_tokens SET revoked_at = now()
 WHERE family_id = %(family)s::uuid AND owner_id = %(owner)s AND revoked_at IS NULL;

-- name: revoke_all
UPDATE refresh_tokens SET revoked_at = now()
 WHERE owner_id = %(owner)s AND revoked_at IS NULL AND family_id IS DISTINCT FROM %(but)s::uuid;

-- name: page
-- The token of a family that was not used yet is its newest.
SELECT family_id::text AS id, started_at, created_at AS used_at, expires_at, address FROM refresh_tokens
 WHERE owner_id = %(owner)s AND used_at IS NULL AND revoked_at IS NULL AND expires_at > now()
   AND (%(at)s::timestamptz IS NULL OR (started_at, family_id::text) < (%(at)s::timestamptz, %(before)s))
 ORDER BY started_at DESC, family_id::text DESC LIMIT %(limit)s;

-- name: standing
SELECT o.id AS owner_id, o.is_operator,
       %(family)s::uuid IS NOT NULL AND NOT EXISTS (
           SELECT FROM refresh_tokens r
            WHERE r.family_id = %(family)s::uuid AND r.owner_id = o.id AND r.revoked_at IS NULL) AS ended
  FROM owners o WHERE o.id = %(owner)s;

-- name: issue
INSERT INTO refresh_tokens (token_hash, family_id, owner_id, expires_at)
VALUES (%(hash)s, %(family)s::uuid, %(owner)s, now() + %(seconds)s * interval '1 second');

-- name: use
-- The row is the lock: of two uses at once one finds used_at set.
UPDATE refresh_tokens SET used_at = now()
 WHERE token_hash = %(hash)s AND used_at IS NULL AND revoked_at IS NULL AND expires_at > now()
RETURNING owner_id, family_id;

-- name: revoke_family_of
UPDATE refresh_tokens SET revoked_at = now()
 WHERE revoked_at IS NULL AND family_id = (
       SELECT family_id FROM refresh_tokens WHERE token_hash = %(hash)s AND (used_at IS NOT NULL OR revoked_at IS NOT NULL));

-- name: revoke_family
UPDATE refresh_tokens SET revoked_at = now() WHERE family_id = %(family)s::uuid AND revoked_at IS NULL;

-- name: standing
SELECT o.id AS owner_id, o.is_operator,
       %(family)s::uuid IS NOT NULL AND NOT EXISTS (
           SELECT FROM refresh_tokens r
            WHERE r.family_id = %(family)s::uuid AND r.owner_id = o.id AND r.revoked_at IS NULL) AS ended
  FROM owners o WHERE o.id = %(owner)s;

-- name: create
INSERT INTO personal_tokens (id, owner_id, name, token_hash, expires_at, scopes)
VALUES (%(id)s, %(owner)s, %(name)s, %(hash)s, %(expires)s,
        coalesce(%(scopes)s::text[], CASE WHEN (SELECT is_operator FROM owners WHERE id = %(owner)s)
                                          THEN '{operate,read,write}'::text[] ELSE '{read,write}' END))
RETURNING id, name, created_at, expires_at, last_used_at, scopes;

-- name: page
SELECT id, name, created_at, expires_at, last_used_at, scopes FROM personal_tokens
 WHERE owner_id = %(owner)s AND (%(before)s::text IS NULL OR id < %(before)s) ORDER BY id DESC LIMIT %(limit)s;

-- name: delete
DELETE FROM personal_tokens WHERE owner_id = %(owner)s AND id = %(id)s;

-- name: bearer
-- The last use is noted once a minute: a write for each request would cost more than it tells.
WITH found AS (
    SELECT t.id, t.owner_id, o.is_operator, t.last_used_at, t.scopes FROM personal_tokens t JOIN owners o ON o.id = t.owner_id
     WHERE t.token_hash = %(hash)s AND (t.expires_at IS NULL OR t.expires_at > now())),
noted AS (
    UPDATE personal_tokens SET last_used_at = now()
     WHERE id IN (SELECT id FROM found WHERE last_used_at IS NULL OR last_used_at < now() - interval '1 minute'))
SELECT id, owner_id, is_operator, scopes FROM found;

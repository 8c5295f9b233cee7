-- name: replace
UPDATE one_time_tokens SET expires_at = now()
 WHERE used_at IS NULL AND expires_at > now() AND purpose = %(purpose)s
   AND CASE WHEN purpose = 'reset' THEN owner_id = %(owner)s ELSE email = %(email)s END;

-- name: make
INSERT INTO one_time_tokens (token_hash, purpose, owner_id, email, created_by, expires_at)
VALUES (%(hash)s, %(purpose)s, %(owner)s, %(email)s, %(by)s, now() + %(seconds)s * interval '1 second')
RETURNING expires_at;

-- name: recent_resets
SELECT count(*) FROM one_time_tokens
 WHERE email = %(email)s AND purpose IN ('reset', 'void') AND created_by = 'anonymous'
   AND created_at > now() - interval '1 hour';

-- name: look
SELECT email, owner_id FROM one_time_tokens
 WHERE token_hash = %(hash)s AND purpose = %(purpose)s AND used_at IS NULL AND expires_at > now();

-- name: use
-- The row is the lock: of two uses at once one finds used_at set.
UPDATE one_time_tokens SET used_at = now()
 WHERE token_hash = %(hash)s AND purpose = %(purpose)s AND used_at IS NULL AND expires_at > now()
RETURNING email, owner_id;

-- name: end_resets
UPDATE one_time_tokens SET expires_at = now() WHERE owner_id = %(owner)s AND used_at IS NULL AND expires_at > now();

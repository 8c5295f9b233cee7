-- name: put
-- Unless it has to last, nobody waits for the disk: who asks for a letter to an unknown address writes nothing, and must not
-- be told by that. A token that a crash of the server takes along has to be asked for again.
WITH quick AS MATERIALIZED (SELECT CASE WHEN NOT %(durable)s THEN set_config('synchronous_commit', 'off', true) END),
     sent AS (
         UPDATE auth.users SET
             confirmation_sent_at = CASE WHEN %(type)s = 'confirmation_token'
                                         THEN to_timestamp(%(now)s) ELSE confirmation_sent_at END,
             invited_at = CASE WHEN %(invited)s THEN to_timestamp(%(now)s) ELSE invited_at END,
             recovery_sent_at = CASE WHEN %(type)s = 'recovery_token'
                                     THEN to_timestamp(%(now)s) ELSE recovery_sent_at END,
             reauthentication_sent_at = CASE WHEN %(type)s = 'reauthentication_token'
                                             THEN to_timestamp(%(now)s) ELSE reauthentication_sent_at END,
             updated_at = to_timestamp(%(now)s)
          WHERE id = %(user)s::uuid AND EXISTS (SELECT FROM quick))
INSERT INTO auth.one_time_tokens (user_id, token_type, token_hash, relates_to, created_at, updated_at)
SELECT u.id, %(type)s, %(hash)s, %(relates_to)s, to_timestamp(%(now)s), to_timestamp(%(now)s)
  FROM auth.users u WHERE u.id = %(user)s::uuid
    ON CONFLICT (user_id, token_type) DO UPDATE
   SET token_hash = excluded.token_hash, relates_to = excluded.relates_to,
       created_at = excluded.created_at, updated_at = excluded.updated_at;

-- name: use
-- The row is the lock: of two uses at once one finds it gone.
DELETE FROM auth.one_time_tokens
 WHERE token_hash = ANY (%(hashes)s) AND token_type = ANY (%(types)s)
   AND (%(relates_to)s::text IS NULL OR relates_to = %(relates_to)s)
   AND created_at > to_timestamp(%(since)s)
RETURNING user_id, token_type, token_hash, relates_to;

-- name: drop
DELETE FROM auth.one_time_tokens WHERE user_id = %(user)s::uuid AND token_type = ANY (%(types)s);

-- name: drop_all
DELETE FROM auth.one_time_tokens WHERE user_id = %(user)s::uuid;

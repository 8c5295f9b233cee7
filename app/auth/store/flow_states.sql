-- name: create
-- Who never comes back leaves a row behind: the next ones take some of those along.
WITH old AS (
    DELETE FROM auth.flow_state WHERE id IN (
        SELECT id FROM auth.flow_state WHERE created_at < to_timestamp(%(now)s) - interval '1 day'
         ORDER BY created_at LIMIT 20 FOR UPDATE SKIP LOCKED))
INSERT INTO auth.flow_state (user_id, auth_code, code_challenge, code_challenge_method, provider_type,
                             authentication_method, created_at, updated_at, referrer, invite_token, linking_target_id,
                             email_optional)
SELECT %(user)s::uuid, %(code)s, %(challenge)s, %(method)s::text::auth.code_challenge_method, %(provider)s,
       %(authentication)s, to_timestamp(%(now)s), to_timestamp(%(now)s), %(referrer)s, %(invite_token)s,
       %(linking_target)s::uuid, %(email_optional)s
 WHERE %(user)s::uuid IS NULL OR EXISTS (SELECT FROM auth.users WHERE id = %(user)s::uuid)
RETURNING *;

-- name: find
SELECT * FROM auth.flow_state WHERE id = %(id)s::uuid FOR UPDATE;

-- name: issue
-- The newest one of the user's: an earlier one was begun in a place where nobody waits any more.
UPDATE auth.flow_state SET auth_code_issued_at = to_timestamp(%(now)s), updated_at = to_timestamp(%(now)s)
 WHERE id = (SELECT id FROM auth.flow_state
              WHERE user_id = %(user)s::uuid AND authentication_method = %(authentication)s
                AND code_challenge IS NOT NULL
              ORDER BY created_at DESC, id LIMIT 1)
RETURNING auth_code;

-- name: finish
-- What the provider has said, and whom it has named.
UPDATE auth.flow_state
   SET user_id = %(user)s::uuid, provider_access_token = %(access_token)s, provider_refresh_token = %(refresh_token)s,
       auth_code_issued_at = to_timestamp(%(now)s), updated_at = to_timestamp(%(now)s)
 WHERE id = %(id)s::uuid
RETURNING auth_code;

-- name: by_code
SELECT * FROM auth.flow_state WHERE auth_code = %(code)s AND user_id IS NOT NULL FOR UPDATE;

-- name: remove
DELETE FROM auth.flow_state WHERE id = %(id)s::uuid;

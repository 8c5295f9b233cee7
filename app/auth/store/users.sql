-- name: columns
u.id, u.aud, u.role, u.email, u.encrypted_password, u.email_confirmed_at, u.invited_at, u.confirmation_token,
u.confirmation_sent_at, u.recovery_token, u.recovery_sent_at, u.email_change_token_new, u.email_change,
u.email_change_token_current, u.email_change_confirm_status, u.email_change_sent_at, u.last_sign_in_at,
u.raw_app_meta_data, u.raw_user_meta_data, u.created_at, u.updated_at, u.phone, u.phone_confirmed_at, u.phone_change,
u.phone_change_sent_at, u.confirmed_at, u.banned_until, u.reauthentication_token, u.reauthentication_sent_at,
u.is_sso_user, u.deleted_at, u.is_anonymous

-- name: find
SELECT {columns} FROM auth.users u WHERE u.id = %(id)s

-- name: lock
SELECT {columns} FROM auth.users u WHERE u.id = %(id)s FOR NO KEY UPDATE

-- name: find_by_email
SELECT {columns} FROM auth.users u WHERE u.email = %(email)s AND NOT u.is_sso_user AND u.deleted_at IS NULL

-- name: find_by_phone
SELECT {columns} FROM auth.users u WHERE u.phone = %(phone)s AND u.deleted_at IS NULL

-- name: take_turn
-- Who comes next looks once this transaction has ended: two do not both take the last place.
SELECT pg_advisory_xact_lock(hashtextextended('launchdb.auth.users_quota', 0))

-- name: has_room
SELECT count(*) < %(quota)s FROM (
    SELECT FROM auth.users u WHERE u.deleted_at IS NULL LIMIT %(quota)s
) known

-- name: create
INSERT INTO auth.users AS u ({names}) VALUES ({values}) RETURNING {columns}

-- name: update
UPDATE auth.users AS u SET {changes} WHERE u.id = %(id)s RETURNING {columns}

-- name: replace_password
UPDATE auth.users u SET encrypted_password = %(after)s WHERE u.id = %(id)s AND u.encrypted_password = %(before)s

-- name: delete
DELETE FROM auth.users u WHERE u.id = %(id)s

-- name: empty
UPDATE auth.users u
   SET email = %(email)s, phone = %(phone)s, encrypted_password = '', raw_user_meta_data = '{}',
       raw_app_meta_data = '{}', email_change = '', phone_change = '', phone_change_token = '', confirmation_token = '',
       recovery_token = '', email_change_token_new = '', email_change_token_current = '', reauthentication_token = '',
       deleted_at = now(), updated_at = now()
 WHERE u.id = %(id)s

-- name: end_sessions
DELETE FROM auth.sessions s WHERE s.user_id = %(id)s

-- name: forget_identities
DELETE FROM auth.identities i WHERE i.user_id = %(id)s

-- name: forget_tokens
DELETE FROM auth.one_time_tokens t WHERE t.user_id = %(id)s

-- name: columns
i.id, i.provider_id, i.user_id, i.identity_data, i.provider, i.last_sign_in_at, i.created_at, i.updated_at, i.email

-- name: create
INSERT INTO auth.identities AS i (user_id, provider, provider_id, identity_data, last_sign_in_at, created_at, updated_at)
VALUES (%(user_id)s, %(provider)s, %(provider_id)s, %(identity_data)s, %(moment)s, %(moment)s, %(moment)s)
RETURNING {columns}

-- name: of_user
SELECT {columns} FROM auth.identities i WHERE i.user_id = %(user_id)s ORDER BY i.created_at, i.id

-- name: of_users
SELECT {columns} FROM auth.identities i WHERE i.user_id = ANY(%(user_ids)s) ORDER BY i.created_at, i.id

-- name: merge_data
UPDATE auth.identities i
   SET identity_data = i.identity_data || %(identity_data)s, updated_at = pg_catalog.now()
 WHERE i.user_id = %(user_id)s AND i.provider = %(provider)s

-- name: delete_of_user
DELETE FROM auth.identities i WHERE i.user_id = %(user_id)s

-- name: find
SELECT {columns} FROM auth.identities i WHERE i.provider = %(provider)s AND i.provider_id = %(provider_id)s

-- name: refresh
UPDATE auth.identities i
   SET identity_data = %(identity_data)s, last_sign_in_at = %(moment)s, updated_at = %(moment)s
 WHERE i.id = %(id)s
RETURNING {columns}

-- name: delete
DELETE FROM auth.identities i WHERE i.id = %(id)s AND i.user_id = %(user_id)s

-- name: delete_others
DELETE FROM auth.identities i WHERE i.user_id = %(user_id)s AND i.id <> %(id)s

-- name: users_of_email
-- Whose address this is, by their row or by that of a provider which has vouched for it.
SELECT u.id FROM auth.users u WHERE u.email = %(email)s AND NOT u.is_sso_user AND u.deleted_at IS NULL
UNION
SELECT u.id FROM auth.identities i JOIN auth.users u ON u.id = i.user_id
 WHERE i.email = %(email)s AND NOT u.is_sso_user AND u.deleted_at IS NULL
   AND i.identity_data -> 'email_verified' = 'true'::jsonb

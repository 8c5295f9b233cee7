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

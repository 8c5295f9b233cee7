-- name: columns
p.id, p.user_id, p.credential_id, p.public_key, p.sign_count, p.transports, p.friendly_name, p.created_at,
p.last_used_at

-- name: create
INSERT INTO auth.webauthn_credentials AS p (user_id, credential_id, public_key, attestation_type, aaguid, sign_count,
                                           transports, backup_eligible, backed_up, created_at, updated_at)
VALUES (%(user_id)s, %(credential_id)s, %(public_key)s, %(attestation_type)s, %(aaguid)s, %(sign_count)s,
        %(transports)s, %(backup_eligible)s, %(backed_up)s, %(moment)s, %(moment)s)
RETURNING {columns}

-- name: of_user
SELECT {columns} FROM auth.webauthn_credentials p WHERE p.user_id = %(user_id)s ORDER BY p.created_at, p.id

-- name: find
SELECT {columns} FROM auth.webauthn_credentials p WHERE p.credential_id = %(credential_id)s FOR NO KEY UPDATE

-- name: note_use
UPDATE auth.webauthn_credentials p
   SET sign_count = %(sign_count)s, backed_up = %(backed_up)s, last_used_at = %(moment)s, updated_at = %(moment)s
 WHERE p.id = %(id)s

-- name: rename
UPDATE auth.webauthn_credentials AS p SET friendly_name = %(friendly_name)s, updated_at = %(moment)s
 WHERE p.id = %(id)s AND p.user_id = %(user_id)s RETURNING {columns}

-- name: delete
DELETE FROM auth.webauthn_credentials p WHERE p.id = %(id)s AND p.user_id = %(user_id)s

-- name: challenge
INSERT INTO auth.webauthn_challenges AS c (user_id, challenge_type, session_data, created_at, expires_at)
VALUES (%(user_id)s, %(challenge_type)s, %(data)s, %(moment)s, %(expires)s) RETURNING c.id

-- name: take_challenge
-- Whoever deletes the row is the one who may answer it.
DELETE FROM auth.webauthn_challenges c
 WHERE c.id = %(id)s AND c.challenge_type = %(challenge_type)s AND c.user_id IS NOT DISTINCT FROM %(user_id)s
RETURNING c.session_data, c.expires_at

-- name: forget_expired
DELETE FROM auth.webauthn_challenges c WHERE c.ctid = ANY (ARRAY(
    SELECT old.ctid FROM auth.webauthn_challenges old WHERE old.expires_at < %(moment)s LIMIT 100 FOR UPDATE SKIP LOCKED))

-- name: columns
f.id, f.user_id, f.friendly_name, f.factor_type::text AS factor_type, f.status::text AS status, f.created_at,
f.updated_at, f.secret, f.phone, f.last_challenged_at, f.web_authn_credential

-- name: shown
f.id, f.friendly_name, f.factor_type::text AS factor_type, f.status::text AS status, f.created_at, f.updated_at,
f.last_challenged_at

-- name: create
INSERT INTO auth.mfa_factors AS f (user_id, friendly_name, factor_type, status, secret, created_at, updated_at)
VALUES (%(user_id)s, %(friendly_name)s, %(factor_type)s, 'unverified', %(secret)s, %(moment)s, %(moment)s)
RETURNING {columns}

-- name: find
SELECT {columns} FROM auth.mfa_factors f WHERE f.id = %(id)s AND f.user_id = %(user_id)s

-- name: lock
SELECT {columns} FROM auth.mfa_factors f WHERE f.id = %(id)s AND f.user_id = %(user_id)s FOR NO KEY UPDATE

-- name: of_users
SELECT f.user_id, {shown} FROM auth.mfa_factors f WHERE f.user_id = ANY (%(user_ids)s) ORDER BY f.created_at, f.id

-- name: count
SELECT count(*) FROM auth.mfa_factors f WHERE f.user_id = %(user_id)s

-- name: forget_unverified
DELETE FROM auth.mfa_factors f
 WHERE f.user_id = %(user_id)s AND f.status = 'unverified' AND f.created_at < %(before)s

-- name: take_code
-- Of two that come with one code at the same time, one changes the row and the other finds it changed.
UPDATE auth.mfa_factors f SET last_totp_step = %(step)s
 WHERE f.id = %(id)s AND (f.last_totp_step IS NULL OR f.last_totp_step < %(step)s)

-- name: verify
UPDATE auth.mfa_factors AS f
   SET status = 'verified', updated_at = %(moment)s,
       web_authn_credential = coalesce(%(credential)s, f.web_authn_credential),
       web_authn_aaguid = coalesce(%(aaguid)s, f.web_authn_aaguid)
 WHERE f.id = %(id)s

-- name: rename
UPDATE auth.mfa_factors AS f SET friendly_name = %(friendly_name)s, updated_at = %(moment)s
 WHERE f.id = %(id)s RETURNING {columns}

-- name: delete
DELETE FROM auth.mfa_factors f WHERE f.id = %(id)s

-- name: downgrade_sessions
-- What the factor proved counts no more.
WITH lowered AS (
    UPDATE auth.sessions s SET aal = 'aal1', factor_id = NULL, updated_at = %(moment)s
     WHERE s.factor_id = %(id)s RETURNING s.id
)
DELETE FROM auth.mfa_amr_claims a USING lowered l
 WHERE a.session_id = l.id AND a.authentication_method IN ('totp', 'mfa/webauthn', 'mfa/phone')

-- name: challenge
WITH challenged AS (UPDATE auth.mfa_factors f SET last_challenged_at = %(moment)s WHERE f.id = %(factor_id)s)
INSERT INTO auth.mfa_challenges AS c (factor_id, created_at, ip_address, web_authn_session_data)
VALUES (%(factor_id)s, %(moment)s, %(ip)s, %(data)s) RETURNING c.id

-- name: find_challenge
SELECT c.id, c.created_at, c.verified_at, c.ip_address::text AS ip_address, c.web_authn_session_data
  FROM auth.mfa_challenges c WHERE c.id = %(id)s AND c.factor_id = %(factor_id)s

-- name: close_challenge
UPDATE auth.mfa_challenges c SET verified_at = %(moment)s WHERE c.id = %(id)s AND c.verified_at IS NULL

-- name: forget_challenges
DELETE FROM auth.mfa_challenges c WHERE c.factor_id = %(factor_id)s AND c.created_at < %(before)s

-- name: raise_session
UPDATE auth.sessions s SET aal = 'aal2', factor_id = %(factor_id)s, updated_at = %(moment)s WHERE s.id = %(id)s

-- name: end_lower_sessions
DELETE FROM auth.sessions s
 WHERE s.user_id = %(user_id)s AND s.id <> %(kept)s AND (s.aal IS NULL OR s.aal = 'aal1')

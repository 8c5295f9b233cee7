-- name: amr
(SELECT coalesce(jsonb_agg(jsonb_build_object(
            'method', a.authentication_method, 'timestamp', floor(extract(epoch FROM a.updated_at))::bigint)
            ORDER BY a.updated_at DESC, a.authentication_method), '[]')
   FROM auth.mfa_amr_claims a WHERE a.session_id = s.id)

-- name: columns
s.id, s.user_id, s.created_at, s.updated_at, s.aal, s.not_after, s.refreshed_at, s.factor_id, s.user_agent, s.ip,
{amr} AS amr

-- name: begin
WITH person AS (
    UPDATE auth.users u SET last_sign_in_at = %(moment)s, updated_at = %(moment)s
     WHERE u.id = %(user_id)s AND u.deleted_at IS NULL AND (u.banned_until IS NULL OR u.banned_until <= %(moment)s)
    RETURNING {user_columns}
), known AS (
    UPDATE auth.identities i SET last_sign_in_at = %(moment)s, updated_at = %(moment)s
     WHERE i.provider = %(provider)s AND i.user_id = %(user_id)s AND EXISTS (SELECT FROM person)
), session AS (
    INSERT INTO auth.sessions (user_id, created_at, updated_at, aal, user_agent, ip)
    SELECT p.id, %(moment)s, %(moment)s, %(aal)s, %(user_agent)s, %(ip)s::inet FROM person p RETURNING id
), means AS (
    INSERT INTO auth.mfa_amr_claims (session_id, created_at, updated_at, authentication_method)
    SELECT s.id, %(moment)s, %(moment)s, %(method)s FROM session s
), token AS (
    INSERT INTO auth.refresh_tokens (token, user_id, session_id, created_at, updated_at)
    SELECT %(token)s, %(user_id)s, s.id, %(moment)s, %(moment)s FROM session s
)
SELECT p.*, s.id AS session_id FROM person p, session s

-- name: find
SELECT {columns} FROM auth.sessions s WHERE s.id = %(id)s

-- name: add_method
INSERT INTO auth.mfa_amr_claims AS a (session_id, created_at, updated_at, authentication_method)
VALUES (%(session_id)s, %(moment)s, %(moment)s, %(method)s)
ON CONFLICT ON CONSTRAINT mfa_amr_claims_session_id_authentication_method_pkey
DO UPDATE SET updated_at = EXCLUDED.updated_at

-- name: end_one
DELETE FROM auth.sessions s WHERE s.id = %(id)s AND s.user_id = %(user_id)s

-- name: end_all
DELETE FROM auth.sessions s WHERE s.user_id = %(user_id)s

-- name: end_others
DELETE FROM auth.sessions s WHERE s.user_id = %(user_id)s AND s.id <> %(id)s

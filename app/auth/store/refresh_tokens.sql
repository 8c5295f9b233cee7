-- name: rotate
SELECT r.outcome, r.token AS refresh_token, r.user_id, r.session_id
  FROM auth.rotate_refresh_token(%(presented)s, %(fresh)s, %(moment)s, %(reuse)s, %(lives)s) r

-- name: live
SELECT r.token FROM auth.refresh_tokens r
 WHERE r.session_id = %(session_id)s AND NOT r.revoked ORDER BY r.id DESC LIMIT 1

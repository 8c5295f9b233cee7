-- name: find
SELECT {user_columns},
       s.id AS session_id, s.user_id AS session_user_id, s.created_at AS session_created_at,
       s.updated_at AS session_updated_at, s.aal AS session_aal, s.not_after AS session_not_after,
       s.refreshed_at AS session_refreshed_at, s.factor_id AS session_factor_id, s.user_agent AS session_user_agent,
       s.ip AS session_ip,
       EXISTS (SELECT FROM auth.sessions n WHERE n.user_id = s.user_id AND (n.created_at, n.id) > (s.created_at, s.id))
           AS session_is_superseded,
       CASE WHEN s.id IS NOT NULL THEN {amr} END AS session_amr,
       (SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]') FROM (
            SELECT {identity_columns} FROM auth.identities i WHERE i.user_id = u.id ORDER BY i.created_at, i.id) x
       ) AS identities,
       (SELECT coalesce(jsonb_agg(to_jsonb(y)), '[]') FROM (
            SELECT {factor_columns} FROM auth.mfa_factors f WHERE f.user_id = u.id ORDER BY f.created_at, f.id) y
       ) AS factors
  FROM auth.users u LEFT JOIN auth.sessions s ON s.id = {session_id} AND s.user_id = u.id
 WHERE u.id = {user_id}

-- name: ask
SELECT to_jsonb(x) FROM ({find}) x

-- name: rotate
SELECT jsonb_build_object('outcome', r.outcome, 'refresh_token', r.token, 'user_id', r.user_id, 'session_id', r.session_id,
                          'found', (SELECT to_jsonb(x) FROM ({find}) x))
  FROM auth.rotate_refresh_token(
           %(presented)s, %(fresh)s, %(moment)s, make_interval(secs => %(reuse)s), make_interval(secs => %(lives)s),
           make_interval(secs => %(timebox)s), make_interval(secs => %(idle)s), %(single)s) r

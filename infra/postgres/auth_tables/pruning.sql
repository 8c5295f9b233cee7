-- name: sessions
-- Those that ended, and those whose refresh token has lain unused for so long that it is good no more, and no access
-- token of theirs either.
DELETE FROM auth.sessions s WHERE s.id IN (
    SELECT old.id FROM auth.sessions old
     WHERE old.not_after < pg_catalog.now() - %(grace)s
        OR (coalesce(old.refreshed_at, old.created_at) < pg_catalog.now() - %(lives)s - %(grace)s
            AND NOT EXISTS (SELECT FROM auth.refresh_tokens r WHERE r.session_id = old.id AND NOT r.revoked
                            AND r.created_at >= pg_catalog.now() - %(lives)s - %(grace)s))
     LIMIT %(most)s FOR UPDATE SKIP LOCKED)

-- name: refresh_tokens
-- Of a session that lives on, those that nobody could still hold as good: who comes with one that was replaced lately is
-- a thief, or has missed an answer, and that has to be seen. Whoever presents one of these is a stranger.
DELETE FROM auth.refresh_tokens r WHERE r.id IN (
    SELECT old.id FROM auth.refresh_tokens old
     WHERE ((old.revoked AND old.updated_at < pg_catalog.now() - %(lives)s - %(grace)s)
            OR (old.session_id IS NULL AND old.created_at < pg_catalog.now() - %(lives)s - %(grace)s))
       AND NOT EXISTS (SELECT FROM auth.refresh_tokens live WHERE live.parent = old.token AND NOT live.revoked)
     LIMIT %(most)s FOR UPDATE SKIP LOCKED)

-- name: one_time_tokens
DELETE FROM auth.one_time_tokens t WHERE t.id IN (
    SELECT old.id FROM auth.one_time_tokens old
     WHERE old.created_at < pg_catalog.now() - %(one_time)s - %(grace)s LIMIT %(most)s FOR UPDATE SKIP LOCKED)

-- name: flow_state
-- As old as the letter may be that is its other half.
DELETE FROM auth.flow_state f WHERE f.id IN (
    SELECT old.id FROM auth.flow_state old
     WHERE old.created_at < pg_catalog.now() - %(one_time)s - %(grace)s LIMIT %(most)s FOR UPDATE SKIP LOCKED)

-- name: oauth_client_states
DELETE FROM auth.oauth_client_states o WHERE o.id IN (
    SELECT old.id FROM auth.oauth_client_states old
     WHERE old.created_at < pg_catalog.now() - %(grace)s LIMIT %(most)s FOR UPDATE SKIP LOCKED)

-- name: mfa_challenges
DELETE FROM auth.mfa_challenges c WHERE c.id IN (
    SELECT old.id FROM auth.mfa_challenges old
     WHERE old.created_at < pg_catalog.now() - %(grace)s LIMIT %(most)s FOR UPDATE SKIP LOCKED)

-- name: webauthn_challenges
DELETE FROM auth.webauthn_challenges c WHERE c.id IN (
    SELECT old.id FROM auth.webauthn_challenges old
     WHERE old.expires_at < pg_catalog.now() - %(grace)s LIMIT %(most)s FOR UPDATE SKIP LOCKED)

-- name: audit_log_entries
DELETE FROM auth.audit_log_entries a WHERE a.id IN (
    SELECT old.id FROM auth.audit_log_entries old
     WHERE old.created_at < pg_catalog.now() - %(audit)s LIMIT %(most)s FOR UPDATE SKIP LOCKED)

-- name: create
-- Who never comes back leaves a row behind: the next ones take some of those along.
WITH old AS (
    DELETE FROM auth.oauth_client_states WHERE id IN (
        SELECT id FROM auth.oauth_client_states WHERE created_at < %(created_at)s - interval '1 hour'
         ORDER BY created_at LIMIT 20 FOR UPDATE SKIP LOCKED))
INSERT INTO auth.oauth_client_states (state_hash, provider_type, code_verifier, nonce, flow_state_id, created_at)
VALUES (%(state)s, %(provider_type)s, %(code_verifier)s, %(nonce)s, %(flow_state_id)s, %(created_at)s);

-- name: take
DELETE FROM auth.oauth_client_states WHERE state_hash = %(state)s
RETURNING provider_type, code_verifier, nonce, flow_state_id, created_at;

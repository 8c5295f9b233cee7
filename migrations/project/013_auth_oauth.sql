-- Sign-ins that wait for a provider to send somebody back, in GoTrue's columns and with more of what they are known by.

SET LOCAL ROLE launchdb_tpl_auth;

CREATE TABLE auth.oauth_client_states (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider_type text NOT NULL,
    code_verifier text,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Of the state that the provider brings back, which only the browser has.
    state_hash bytea UNIQUE,
    nonce text,
    flow_state_id uuid
);
CREATE INDEX oauth_client_states_created_at_idx ON auth.oauth_client_states (created_at);

-- Where a user without an address gets one from, and whom an address is looked for among.
CREATE INDEX identities_email_idx ON auth.identities (email text_pattern_ops);

RESET ROLE;

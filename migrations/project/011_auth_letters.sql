-- Links and codes of letters, and the other half of a sign-in by PKCE, in GoTrue's columns.

SET LOCAL ROLE launchdb_tpl_auth;

-- GoTrue's own words, so that what it has dumped can be loaded. Nobody has written a row so far.
ALTER TABLE auth.one_time_tokens DROP CONSTRAINT one_time_tokens_token_type_check;
DELETE FROM auth.one_time_tokens;
ALTER TABLE auth.one_time_tokens ADD CONSTRAINT one_time_tokens_token_type_check
    CHECK (token_type IN ('confirmation_token', 'reauthentication_token', 'recovery_token', 'email_change_token_new',
                          'email_change_token_current', 'phone_change_token'));

CREATE TYPE auth.code_challenge_method AS ENUM ('s256', 'plain');

-- One row a sign-in that was begun in one place and is finished in another: by a link, or at a provider.
CREATE TABLE auth.flow_state (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid,
    auth_code text,
    code_challenge_method auth.code_challenge_method,
    code_challenge text,
    provider_type text NOT NULL,
    provider_access_token text,
    provider_refresh_token text,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    authentication_method text NOT NULL,
    auth_code_issued_at timestamptz,
    invite_token text,
    referrer text,
    oauth_client_state_id uuid,
    linking_target_id uuid,
    email_optional boolean NOT NULL DEFAULT false
);
CREATE INDEX flow_state_auth_code_idx ON auth.flow_state (auth_code);
CREATE INDEX flow_state_user_id_idx ON auth.flow_state (user_id, authentication_method);
CREATE INDEX flow_state_created_at_idx ON auth.flow_state (created_at);

RESET ROLE;

-- Schema auth: users and their sessions, in GoTrue's columns. Owned by the project's auth login after the copy.

CREATE SCHEMA auth AUTHORIZATION launchdb_tpl_auth;
SET LOCAL ROLE launchdb_tpl_auth;

CREATE TABLE auth.users (
    instance_id uuid,
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    aud varchar(255),
    role varchar(255),
    email varchar(255),
    encrypted_password varchar(255),
    email_confirmed_at timestamptz,
    invited_at timestamptz,
    confirmation_token varchar(255) NOT NULL DEFAULT '',
    confirmation_sent_at timestamptz,
    recovery_token varchar(255) NOT NULL DEFAULT '',
    recovery_sent_at timestamptz,
    email_change_token_new varchar(255) NOT NULL DEFAULT '',
    email_change varchar(255) NOT NULL DEFAULT '',
    email_change_sent_at timestamptz,
    last_sign_in_at timestamptz,
    raw_app_meta_data jsonb,
    raw_user_meta_data jsonb,
    is_super_admin boolean,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    phone text UNIQUE,
    phone_confirmed_at timestamptz,
    phone_change text NOT NULL DEFAULT '',
    phone_change_token varchar(255) NOT NULL DEFAULT '',
    phone_change_sent_at timestamptz,
    confirmed_at timestamptz GENERATED ALWAYS AS (least(email_confirmed_at, phone_confirmed_at)) STORED,
    email_change_token_current varchar(255) NOT NULL DEFAULT '',
    email_change_confirm_status smallint NOT NULL DEFAULT 0 CHECK (email_change_confirm_status BETWEEN 0 AND 2),
    banned_until timestamptz,
    reauthentication_token varchar(255) NOT NULL DEFAULT '',
    reauthentication_sent_at timestamptz,
    is_sso_user boolean NOT NULL DEFAULT false,
    deleted_at timestamptz,
    is_anonymous boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX users_email_key ON auth.users (email) WHERE NOT is_sso_user;
CREATE INDEX users_created_at_idx ON auth.users (created_at, id);

CREATE TABLE auth.identities (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider_id text NOT NULL,
    user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    identity_data jsonb NOT NULL,
    provider text NOT NULL,
    last_sign_in_at timestamptz,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    email text GENERATED ALWAYS AS (lower(identity_data ->> 'email')) STORED,
    UNIQUE (provider_id, provider)
);
CREATE INDEX identities_user_id_idx ON auth.identities (user_id);

CREATE TABLE auth.sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    aal text NOT NULL DEFAULT 'aal1',
    not_after timestamptz,
    refreshed_at timestamptz,
    user_agent text,
    ip inet,
    amr jsonb NOT NULL DEFAULT '[]'
);
CREATE INDEX sessions_user_id_idx ON auth.sessions (user_id, created_at);

-- One row a token; a token's parent is the one it replaced.
CREATE TABLE auth.refresh_tokens (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token varchar(255) NOT NULL UNIQUE,
    user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    session_id uuid NOT NULL REFERENCES auth.sessions ON DELETE CASCADE,
    parent varchar(255),
    revoked boolean NOT NULL DEFAULT false,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);
CREATE INDEX refresh_tokens_session_idx ON auth.refresh_tokens (session_id, revoked);
CREATE INDEX refresh_tokens_user_idx ON auth.refresh_tokens (user_id);
CREATE INDEX refresh_tokens_parent_idx ON auth.refresh_tokens (parent);

CREATE TABLE auth.one_time_tokens (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    token_type text NOT NULL CHECK (token_type IN ('confirmation', 'recovery', 'invite', 'magiclink', 'email_change_new',
                                                   'email_change_current', 'phone_change', 'reauthentication')),
    token_hash text NOT NULL,
    relates_to text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, token_type)
);
CREATE INDEX one_time_tokens_hash_idx ON auth.one_time_tokens (token_hash);

-- What policies ask. An empty setting (a pooled session that once had one) is no setting, and no error.
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(nullif(current_setting('request.jwt.claim', true), ''),
                    nullif(current_setting('request.jwt.claims', true), ''))::jsonb
$$;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT nullif(coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'), '')::uuid
$$;
CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(nullif(current_setting('request.jwt.claim.role', true), ''),
                    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role')
$$;
CREATE FUNCTION auth.email() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(nullif(current_setting('request.jwt.claim.email', true), ''),
                    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email')
$$;

-- The functions are for everybody, the tables for nobody but the auth login and, through it, the project's owner.
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role, launchdb_owner;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA auth FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA auth TO anon, authenticated, service_role, launchdb_owner;

RESET ROLE;

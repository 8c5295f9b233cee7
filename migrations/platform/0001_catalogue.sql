-- The catalogue: who owns what. Ids are made by the application; names of tenants' things come from ids only.

CREATE TABLE owners (
    id            text PRIMARY KEY CHECK (id ~ '^own_[0-9a-f]{32}$'),
    email         text NOT NULL,                      -- lower case, as compared
    name          text NOT NULL DEFAULT '',
    password_hash text NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    is_operator   boolean NOT NULL DEFAULT false,     -- set by the command line or another operator only
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT owners_email_key UNIQUE (email)
);

-- A sign-in. Refresh tokens rotate inside a family; a token used twice kills the family.
CREATE TABLE refresh_tokens (
    token_hash  bytea PRIMARY KEY,
    family_id   uuid NOT NULL,
    owner_id    text NOT NULL REFERENCES owners ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    revoked_at  timestamptz
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_owner ON refresh_tokens (owner_id);

CREATE TABLE personal_tokens (
    id           text PRIMARY KEY CHECK (id ~ '^tok_[0-9a-f]{32}$'),
    owner_id     text NOT NULL REFERENCES owners ON DELETE CASCADE,
    name         text NOT NULL,
    token_hash   bytea NOT NULL UNIQUE,               -- SHA-256 of a random 256-bit token needs no salt
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz
);
CREATE INDEX personal_tokens_owner ON personal_tokens (owner_id, id);

-- Failed sign-ins slow the next try down for this account from this address; they never lock an account.
CREATE TABLE failed_logins (
    email      text NOT NULL,
    address    text NOT NULL,
    failures   integer NOT NULL DEFAULT 0,
    last_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (email, address)
);

-- Addresses an owner has signed in from with the right password.
CREATE TABLE known_addresses (
    owner_id   text NOT NULL REFERENCES owners ON DELETE CASCADE,
    address    text NOT NULL,
    last_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, address)
);

CREATE TABLE projects (
    id             text PRIMARY KEY CHECK (id ~ '^proj_[0-9a-f]{16}$'),
    owner_id       text NOT NULL REFERENCES owners,
    name           text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    status         text NOT NULL DEFAULT 'provisioning'
                   CHECK (status IN ('provisioning', 'active', 'paused', 'sleeping', 'restoring', 'failed', 'deleting', 'deleted')),
    status_reason  text,
    pool_size      integer NOT NULL DEFAULT 5 CHECK (pool_size BETWEEN 1 AND 100),
    template       text,                              -- the template database this project was copied from
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    deleted_at     timestamptz
);
-- The name is free again as soon as the deletion is accepted.
CREATE UNIQUE INDEX projects_owner_name ON projects (owner_id, name) WHERE status NOT IN ('deleting', 'deleted');
CREATE INDEX projects_owner ON projects (owner_id, id);

CREATE TABLE project_settings (
    project_id text PRIMARY KEY REFERENCES projects ON DELETE CASCADE,
    version    integer NOT NULL DEFAULT 1,
    settings   jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Envelope encryption: a data key per project, wrapped by the master key that `master_key_id` names.
-- scope is a project id, or 'platform'.
CREATE TABLE data_keys (
    scope         text PRIMARY KEY,
    wrapped       bytea NOT NULL,
    master_key_id text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE secrets (
    scope      text NOT NULL REFERENCES data_keys ON DELETE CASCADE,
    name       text NOT NULL,
    version    integer NOT NULL DEFAULT 1,
    sealed     bytea NOT NULL,                        -- nonce || AES-256-GCM ciphertext || tag; aad = scope, name, version
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,                           -- end of the grace time of a rotated secret
    PRIMARY KEY (scope, name, version)
);

-- One row proves at every start that the master key is the right one.
CREATE TABLE master_key_canary (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    master_key_id text NOT NULL,
    sealed        bytea NOT NULL
);

-- First answers, kept a day: the same key and request get the same answer. Secrets shown once are not in them.
CREATE TABLE idempotency_keys (
    owner_id     text NOT NULL,
    route        text NOT NULL,                       -- method and rule, e.g. 'POST /api/projects'
    key          text NOT NULL,
    request_hash bytea NOT NULL,
    status       smallint,                            -- null until the first request has its answer
    headers      jsonb,
    body         jsonb,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, route, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Who did what, when, from where. Inserted plainly; a sealer chains the hashes afterwards.
CREATE TABLE audit (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    actor      text NOT NULL,                         -- own_…, tok_…, 'operator', 'system', 'anonymous'
    action     text NOT NULL,                         -- 'project.create', 'auth.login', …
    outcome    text NOT NULL DEFAULT 'accepted',
    address    text,
    request_id text,
    owner_id   text,
    project_id text,
    job_id     text,
    detail     jsonb NOT NULL DEFAULT '{}',
    chain_hash bytea
);
CREATE INDEX audit_project ON audit (project_id, id);
CREATE INDEX audit_unsealed ON audit (id) WHERE chain_hash IS NULL;
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.chain_hash IS NULL AND (to_jsonb(NEW) - 'chain_hash') = (to_jsonb(OLD) - 'chain_hash') THEN
            RETURN NEW;  -- the sealer's one write
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_rows_stay BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_table_stays BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

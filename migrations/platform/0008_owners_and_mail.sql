-- Owners come and go by invitation, change passwords and see their sign-ins; mails wait in an outbox, sealed.

ALTER TABLE owners ADD COLUMN max_projects integer CHECK (max_projects >= 0);  -- null: MAX_PROJECTS_PER_OWNER; 0: no quota

-- What an owner is shown of his sign-ins. started_at is handed on from token to token of a family.
ALTER TABLE refresh_tokens
    ADD COLUMN started_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN address    text NOT NULL DEFAULT '';

-- Links that work once. Those that were asked for by mail for an address nobody has are written just the same (void).
CREATE TABLE one_time_tokens (
    token_hash bytea PRIMARY KEY,
    purpose    text NOT NULL CHECK (purpose IN ('reset', 'invitation', 'void')),
    owner_id   text REFERENCES owners ON DELETE CASCADE,  -- whose password is reset
    email      text NOT NULL,                         -- lower case: who is invited, or where the link was sent
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    CHECK ((purpose = 'reset') = (owner_id IS NOT NULL))
);
CREATE INDEX one_time_tokens_owner ON one_time_tokens (owner_id);
CREATE INDEX one_time_tokens_email ON one_time_tokens (email, created_at);
CREATE INDEX one_time_tokens_age ON one_time_tokens (expires_at);

-- The text of a mail is here, sealed, until the server has taken it or it has expired.
CREATE TABLE mail_outbox (
    id          text PRIMARY KEY CHECK (id ~ '^mail_[0-9a-f]{32}$'),
    scope       text NOT NULL,                        -- a project's id, or 'platform'
    void        boolean NOT NULL DEFAULT false,       -- goes nowhere: written so that no answer tells who is known
    sealed      bytea,                                -- name of the secret: the id; version 1
    state       text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'accepted', 'failed', 'expired')),
    attempts    smallint NOT NULL DEFAULT 0,
    in_doubt    smallint NOT NULL DEFAULT 0,          -- how often the server may have taken it without our hearing so
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX mail_outbox_scope ON mail_outbox (scope, created_at);
CREATE INDEX mail_outbox_sealed ON mail_outbox (expires_at) WHERE sealed IS NOT NULL;

-- Backups, by what lies in the backups folder. A row is one only once it is finished; the file beside it says the rest.

CREATE TABLE backups (
    id             text PRIMARY KEY,
    scope          text NOT NULL,                     -- a project's id, or 'platform'
    project_name   text,                              -- as it was then, for what is deleted since
    owner_id       text,
    stem           text NOT NULL UNIQUE,              -- what the names of its files begin with
    format         text NOT NULL,
    key_id         text NOT NULL,
    final          boolean NOT NULL DEFAULT false,    -- the last one of a project that is deleted
    job_id         text UNIQUE,
    created_at     timestamptz NOT NULL DEFAULT now(),
    finished_at    timestamptz,
    bytes          bigint,
    database_bytes bigint,
    sha256         text,
    duration_ms    integer,
    verified_at    timestamptz,
    verify_ms      integer,                           -- how long it took to restore and to compare
    verify_error   text,
    expires_at     timestamptz                        -- a final one: until when its project can be brought back
);
CREATE INDEX backups_scope ON backups (scope, created_at DESC) WHERE finished_at IS NOT NULL;
CREATE INDEX backups_owner ON backups (owner_id, created_at DESC) WHERE finished_at IS NOT NULL;

-- What was there before a restore, kept for a while under another name.
CREATE TABLE kept_databases (
    project_id     text PRIMARY KEY REFERENCES projects ON DELETE CASCADE,
    backup_id      text NOT NULL,
    job_id         text NOT NULL,
    kept_until     timestamptz NOT NULL
);

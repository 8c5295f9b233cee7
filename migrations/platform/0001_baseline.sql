-- The platform's database: its tables, what they keep of themselves, and the rows that have to be there.
--
-- Functions stand elsewhere, each once, in the files `functions.sql` beside the modules that call them, which are applied
-- anew whenever they change; those that a trigger below names are there before this file runs. Tables change by further
-- numbered files. Why: docs/decisions/0051-a-baseline-and-functions-that-are-applied-anew.md.
--
-- Ids are made by the application; names of tenants' things come from ids only. Columns after `-- later:` were added to
-- tables that had rows: they stand last, so that a database of before and one that is made today are the same.

-- ---------------------------------------------------------------------------------------------------------------------
-- Owners: who they are, how they sign in, what they are written
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE owners (
    id            text PRIMARY KEY CHECK (id ~ '^own_[0-9a-f]{32}$'),
    email         text NOT NULL,                      -- lower case, as compared
    name          text NOT NULL DEFAULT '',
    password_hash text NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    is_operator   boolean NOT NULL DEFAULT false,     -- set by the command line or another operator only
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    -- later:
    max_projects  integer CHECK (max_projects >= 0),  -- null: MAX_PROJECTS_PER_OWNER; 0: no quota
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
    revoked_at  timestamptz,
    -- later:
    -- what owners are shown of their sign-ins
    started_at  timestamptz NOT NULL DEFAULT now(),   -- handed on from token to token of a family
    address     text NOT NULL DEFAULT ''
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

-- Links that work once. Those that were asked for by mail for an address nobody has are written just the same (void),
-- so that no answer tells who is known.
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

-- ---------------------------------------------------------------------------------------------------------------------
-- Projects, and what belongs to one
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE projects (
    id             text PRIMARY KEY CHECK (id ~ '^proj_[0-9a-f]{16}$'),
    owner_id       text NOT NULL REFERENCES owners,
    name           text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    status         text NOT NULL DEFAULT 'provisioning'
                   CHECK (status IN ('provisioning', 'active', 'paused', 'sleeping', 'restoring', 'failed', 'deleting',
                                     'deleted')),
    status_reason  text,
    pool_size      integer NOT NULL DEFAULT 5 CHECK (pool_size BETWEEN 1 AND 100),
    template       text,                              -- the template database this project was copied from
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    deleted_at     timestamptz,
    -- later:
    drift          text[] NOT NULL DEFAULT '{}',      -- what differs inside its database and was not healed
    -- what it was when its deletion was asked for: as that it serves on when the deletion is called off
    status_before  text
);
-- The name is free again as soon as the deletion is accepted.
CREATE UNIQUE INDEX projects_owner_name ON projects (owner_id, name) WHERE status NOT IN ('deleting', 'deleted');
CREATE INDEX projects_owner ON projects (owner_id, id);

-- What each version of the template holds: the database of a project is compared with that of its own.
CREATE TABLE template_objects (
    template text PRIMARY KEY,                            -- the template database that projects were copied from
    objects  jsonb NOT NULL,
    made_at  timestamptz NOT NULL DEFAULT now()
);

-- Of two versions it says what has become of them. What only other services read needs no job: such a version counts as
-- applied at once, unless an earlier one is still on its way.
CREATE TABLE project_settings (
    project_id text PRIMARY KEY REFERENCES projects ON DELETE CASCADE,
    version    integer NOT NULL DEFAULT 1,
    settings   jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- later:
    applying_version integer NOT NULL DEFAULT 0,      -- what the running project.configure has begun with
    applied_version  integer NOT NULL DEFAULT 0       -- what the database and the data API have been given
);

-- What an operator has set for all projects, those to come included.
CREATE TABLE pool_default (
    id        boolean PRIMARY KEY DEFAULT true CHECK (id),
    pool_size integer NOT NULL CHECK (pool_size BETWEEN 1 AND 100)
);

-- What owners want applied to their projects' databases. A job holds the number of a row, never the SQL.
CREATE TABLE owner_migrations (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id    text NOT NULL REFERENCES projects ON DELETE CASCADE,
    version       text NOT NULL CHECK (version ~ '^[0-9]{1,20}$'),   -- ordered as a number
    name          text NOT NULL,
    sql           text NOT NULL,
    checksum      text NOT NULL,                      -- SHA-256 of the SQL
    transactional boolean NOT NULL,
    timeout_ms    integer NOT NULL,
    rerun         boolean NOT NULL DEFAULT false,     -- sent again by somebody who knows that it may be half applied
    status        text NOT NULL DEFAULT 'queued'
                  CHECK (status IN ('queued', 'running', 'applied', 'failed', 'doubtful', 'replaced')),
    began_as      text,                               -- its transaction: the server knows what became of that
    job_id        text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz
);
-- One row a version counts; what failed is replaced by the next try.
CREATE UNIQUE INDEX owner_migrations_version ON owner_migrations (project_id, (version::numeric))
    WHERE status <> 'replaced';

-- ---------------------------------------------------------------------------------------------------------------------
-- Secrets
-- ---------------------------------------------------------------------------------------------------------------------

-- Envelope encryption: a data key per project, wrapped by the master key that `master_key_id` names.
-- scope is a project id, or 'platform'.
CREATE TABLE data_keys (
    scope         text PRIMARY KEY,
    wrapped       bytea NOT NULL,
    master_key_id text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);
-- While the master key is rotated, data keys may be wrapped by either of two; those of the older one are looked for.
CREATE INDEX data_keys_master_key ON data_keys (master_key_id);

CREATE TABLE secrets (
    scope      text NOT NULL REFERENCES data_keys ON DELETE CASCADE,
    name       text NOT NULL,
    version    integer NOT NULL DEFAULT 1,
    -- nonce || AES-256-GCM ciphertext || tag; aad = scope, name, version
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,                           -- end of the grace time of a rotated secret
    -- later:
    -- stored before it is in force: until everything that checks it knows it, the old one is shown
    coming     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (scope, name, version)
);

-- One row proves at every start that the master key is the right one.
CREATE TABLE master_key_canary (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    master_key_id text NOT NULL,
    sealed        bytea NOT NULL,
    -- later:
    -- set while the master key is rotated: data keys may be wrapped by either; afterwards only by the newest
    next_master_key_id text
);

-- The platform's own secrets lie in files. Here is by what they are known, and since when; never what they are.
CREATE TABLE platform_rotations (
    job_id      text PRIMARY KEY,
    secret      text NOT NULL,                        -- as the API names it
    old_id      text,                                 -- by what the old one is known; null for one that people chose
    new_id      text,
    begun_at    timestamptz NOT NULL DEFAULT now(),
    in_force_at timestamptz,
    good_until  timestamptz,                          -- until when the old one is good besides
    retired_at  timestamptz
);
CREATE INDEX platform_rotations_secret ON platform_rotations (secret, in_force_at DESC);

-- Who said that a copy lies off this machine, and of which value.
CREATE TABLE secret_copies (
    secret          text PRIMARY KEY,
    value_id        text NOT NULL,
    acknowledged_by text NOT NULL,
    acknowledged_at timestamptz NOT NULL DEFAULT now()
);

-- ---------------------------------------------------------------------------------------------------------------------
-- The audit
-- ---------------------------------------------------------------------------------------------------------------------

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
    chain_hash bytea                                  -- its link, see audit_link
);
CREATE INDEX audit_project ON audit (project_id, id);
CREATE INDEX audit_unsealed ON audit (id) WHERE chain_hash IS NULL;
CREATE TRIGGER audit_rows_stay BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_table_stays BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- Where the chain ends: rows cut off its end are missed too.
CREATE TABLE audit_chain (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last_id   bigint NOT NULL DEFAULT 0,
    link      bytea NOT NULL DEFAULT '',
    sealed_at timestamptz
);
INSERT INTO audit_chain DEFAULT VALUES;

-- ---------------------------------------------------------------------------------------------------------------------
-- Jobs: this table is the truth. What runs is held by a lease and a fence; what waits can say why.
-- ---------------------------------------------------------------------------------------------------------------------

-- What the code that serves this installation knows about each kind; written by workers when they start.
CREATE TABLE job_kinds (
    served      text PRIMARY KEY,                     -- kind@version
    kind        text NOT NULL,
    version     smallint NOT NULL,
    max_running integer,                              -- null: no limit
    conflicts   text[] NOT NULL DEFAULT '{}',         -- kinds of the same project that must not run at the same time
    steps       text[] NOT NULL,                      -- in order; pinned into job_steps by a job's first claim
    -- later:
    -- whether the claim may begin the first step: one past which the job can still be cancelled. False until a worker
    -- that knows of it says so
    claim_begins boolean NOT NULL DEFAULT false
);

CREATE TABLE workers (
    name       text PRIMARY KEY,
    lock_key   integer NOT NULL UNIQUE,               -- held by the worker's liveness session, class 19524 ('LD')
    host       text NOT NULL,
    pid        integer NOT NULL,
    queues     text[] NOT NULL,
    serves     text[] NOT NULL,                       -- kind@version
    threads    integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    beat_at    timestamptz NOT NULL DEFAULT now(),
    stopped_at timestamptz
) WITH (fillfactor = 70);
CREATE SEQUENCE worker_lock_key AS integer CYCLE;

CREATE TABLE queues (
    name      text PRIMARY KEY,
    paused_at timestamptz,
    paused_by text
);
INSERT INTO queues (name) VALUES ('control'), ('bulk');

-- What jobs depend on outside, and whether it is away. Rows, not memory: what one worker learns spares all the others
-- an attempt, and a worker that starts knows it too. Kept small: a handful of rows that a claim reads.
CREATE TABLE breakers (
    dependency text PRIMARY KEY,                      -- 'postgres', 'mail', …
    failures   integer NOT NULL DEFAULT 0,            -- transient ones in a row, within the window
    failed_at  timestamptz NOT NULL DEFAULT now(),
    kinds      text[] NOT NULL DEFAULT '{}',          -- the kinds that have failed of it
    open_until timestamptz,                           -- set: open; past: one job is let through, as a probe
    opened_at  timestamptz
);

-- What an id looks like is looked at when one is written, by a trigger: a check would be made at each update of a row.
CREATE TABLE jobs (
    id              text PRIMARY KEY,
    seq             bigint GENERATED ALWAYS AS IDENTITY,  -- order inside a lane
    kind            text NOT NULL,
    version         smallint NOT NULL DEFAULT 1,
    queue           text NOT NULL,
    lane            text,                             -- '<project>/control' or '/bulk'; null: runs beside anything
    project_id      text,                             -- no foreign key: the history outlives the project
    owner_id        text,
    args            jsonb NOT NULL DEFAULT '{}',
    status          text NOT NULL DEFAULT 'queued'
                    CHECK (status IN ('queued', 'running', 'retrying', 'cancelling', 'succeeded', 'failed',
                                      'cancelled')),
    ready           boolean NOT NULL DEFAULT true,    -- head of its lane: only these are looked at by a claim
    priority        smallint NOT NULL DEFAULT 0,
    preempts        boolean NOT NULL DEFAULT false,   -- does not wait behind a lane head that is in back-off
    run_at          timestamptz NOT NULL DEFAULT now(),
    claim_after     timestamptz NOT NULL DEFAULT now(),  -- run_at − priority × a minute: a static order, no starvation
    attempt         smallint NOT NULL DEFAULT 0,
    max_attempts    smallint NOT NULL DEFAULT 5,
    crashes         smallint NOT NULL DEFAULT 0,      -- worker deaths on this job
    fence           bigint NOT NULL DEFAULT 0,        -- raised by every claim; named by every write of a runner
    worker          text,
    leased_until    timestamptz,
    undoing         boolean NOT NULL DEFAULT false,   -- the way back: steps are undone, newest first
    cancel_requested_at timestamptz,
    cancel_reason   text,
    past_return     boolean NOT NULL DEFAULT false,   -- past the point of no return: a cancel is refused
    progress_step   text,
    progress_done   bigint NOT NULL DEFAULT 0,
    progress_total  bigint NOT NULL DEFAULT 0,
    progress_message text,
    result          jsonb,
    error           jsonb,
    parent_id       text REFERENCES jobs ON DELETE CASCADE,
    parked          boolean NOT NULL DEFAULT false,   -- a parent that waits for its children, in no worker's slot
    max_children    integer,                          -- how many children of this job may run at a time
    created_by      text NOT NULL DEFAULT 'system',
    request_id      text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,
    finished_at     timestamptz
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- Each change of a job's state writes a row version, and an entry for it in each index whose condition it meets. What
-- no query looks for by an index needs no entry there.
--
-- What a claim reads.
CREATE INDEX jobs_claim ON jobs (queue, claim_after, seq) WHERE ready AND status IN ('queued', 'retrying');
-- One running job per lane, whatever the code believes. The running ones are few, and this holds them all: kinds are
-- counted by it, too.
CREATE UNIQUE INDEX jobs_lane_runs ON jobs (lane) WHERE status IN ('running', 'cancelling');
CREATE INDEX jobs_lane_open ON jobs (lane, seq) WHERE status IN ('queued', 'retrying', 'running', 'cancelling');
-- Jobs of the platform have no project and often no owner: nobody looks for those by them.
CREATE INDEX jobs_project ON jobs (project_id, id) WHERE project_id IS NOT NULL;
CREATE INDEX jobs_owner ON jobs (owner_id, id) WHERE owner_id IS NOT NULL;
CREATE INDEX jobs_parent ON jobs (parent_id, status) WHERE parent_id IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
-- Whether what a schedule started still runs is asked at each of its slots: by the few open jobs, not by all old slots.
CREATE INDEX jobs_open_of_schedules ON jobs (created_by)
    WHERE created_by LIKE 'schedule:%' AND status IN ('queued', 'retrying', 'running', 'cancelling');
CREATE TRIGGER jobs_have_ids_of_jobs BEFORE INSERT OR UPDATE OF id ON jobs
    FOR EACH ROW EXECUTE FUNCTION jobs_have_ids_of_jobs();
CREATE TRIGGER jobs_take_their_history_along AFTER DELETE ON jobs REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_take_their_history_along();

-- Steps and events are written by functions alone that hold the job's row. A foreign key would ask for the job again
-- for each of them; what is left to be seen to is the deletion of a job, which a trigger of jobs does. A step is
-- written when it is pinned and again when it ends: the second version fits beside the first.
CREATE TABLE job_steps (
    job_id      text NOT NULL,
    name        text NOT NULL,
    position    smallint NOT NULL,
    status      text NOT NULL DEFAULT 'pending'
                CHECK (status IN ('pending', 'running', 'succeeded', 'skipped', 'failed', 'undone')),
    attempt     smallint NOT NULL DEFAULT 0,
    started_at  timestamptz,
    finished_at timestamptz,
    message     text,
    PRIMARY KEY (job_id, name)
) WITH (fillfactor = 70);

-- Events are read by job and in order, and grow old in the order in which they were written.
CREATE TABLE job_events (
    id         bigint GENERATED ALWAYS AS IDENTITY,
    job_id     text NOT NULL,
    type       text NOT NULL CHECK (type IN ('job', 'step', 'log')),
    data       jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, id)
);
CREATE INDEX job_events_age ON job_events USING brin (created_at) WITH (pages_per_range = 16, autosummarize = on);

-- The ledger: what was or may have been made outside, written before it is made.
CREATE TABLE resources (
    kind       text NOT NULL,                         -- database, role, instance, folder, …
    name       text NOT NULL,
    project_id text NOT NULL,
    job_id     text NOT NULL,
    step       text NOT NULL,
    fence      bigint NOT NULL,
    state      text NOT NULL CHECK (state IN ('intended', 'present', 'releasing', 'gone')),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name)
);
CREATE INDEX resources_project ON resources (project_id);

CREATE TABLE schedules (
    name       text PRIMARY KEY,
    kind       text NOT NULL,
    args       jsonb NOT NULL DEFAULT '{}',
    cron       text NOT NULL,
    timezone   text NOT NULL DEFAULT 'UTC',
    enabled    boolean NOT NULL DEFAULT true,
    catch_up   text NOT NULL DEFAULT 'latest' CHECK (catch_up IN ('skip', 'latest', 'all')),
    jitter_seconds integer NOT NULL DEFAULT 0,
    overlap    text NOT NULL DEFAULT 'skip' CHECK (overlap IN ('skip', 'queue', 'replace')),
    counts_from timestamptz NOT NULL DEFAULT now(),  -- slots up to this moment do not count
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- later:
    -- when an operator has changed it: that stays, the rest follows the default of the program that runs
    changed_at timestamptz,
    asked_job_id text                                 -- the last job that somebody asked for, beside those of the slots
);
CREATE TABLE schedule_slots (
    schedule text NOT NULL REFERENCES schedules ON DELETE CASCADE,
    slot     timestamptz NOT NULL,
    job_id   text,
    PRIMARY KEY (schedule, slot)
);

-- What ended jobs tell, in sums: how long things took, by kind and step. Metrics and estimates read this, never the
-- jobs. measure: 'step' (a step that succeeded), 'job' (from the first claim to the end, by outcome), 'claim' (from due
-- to claimed), 'attempts' and 'takeovers' (counts alone).
CREATE TABLE job_history (
    measure text NOT NULL,
    kind    text NOT NULL,
    label   text NOT NULL DEFAULT '',                 -- the step, or the outcome
    count   bigint NOT NULL DEFAULT 0,
    seconds double precision NOT NULL DEFAULT 0,
    buckets bigint[] NOT NULL,                        -- how many took at most as long as each of history_bounds()
    recent  double precision[] NOT NULL DEFAULT '{}', -- the last ones, for the median
    PRIMARY KEY (measure, kind, label)
);
CREATE TABLE job_history_mark (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    upto     timestamptz NOT NULL DEFAULT '-infinity' -- jobs that ended before this are in the sums
);
INSERT INTO job_history_mark DEFAULT VALUES;

-- ---------------------------------------------------------------------------------------------------------------------
-- Backups
-- ---------------------------------------------------------------------------------------------------------------------

-- By what lies in the backups folder. A row is a backup only once it is finished; the file beside it says the rest.
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
    expires_at     timestamptz,                       -- a final one: until when its project can be brought back
    -- later:
    offsite_at     timestamptz                        -- since when a copy of it lies off the machine
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

-- ---------------------------------------------------------------------------------------------------------------------
-- The pooler learns a project's login by one function alone, which lies in this schema; nothing else does.
-- ---------------------------------------------------------------------------------------------------------------------

CREATE SCHEMA pgbouncer;
REVOKE ALL ON SCHEMA pgbouncer FROM PUBLIC;

-- ---------------------------------------------------------------------------------------------------------------------
-- What this file stands for: a database that has all of these, each with this checksum, has this file, too. They are
-- kept in the record, so that a program that still has the files leaves the database alone.
-- ---------------------------------------------------------------------------------------------------------------------

-- takes over: 0.1.0 as of 2dde837
-- replaces: 0001_catalogue 89f4456e4673d5c0c01c5b237445a250d54a62563a46575be07aa5ec1e7bf05d
-- replaces: 0002_jobs 87adc59317adead24f0abdc20c0e2a2e57f714e32dc07a6a099417001b7437e7
-- replaces: 0003_settings 01728771fa9d53eb699b53f6011c83f6467896ad8e6faad2f1a62d976e68dee2
-- replaces: 0004_owner_migrations dcbe8d969f754cd73437e7519301adae0ea5211de739e767f31ae461491c2ef6
-- replaces: 0005_drift 32ec139ba9ba1f9d2fcdcd447df5b57f1d2aa4497fc77bf21691b3fb7586c6f8
-- replaces: 0008_owners_and_mail ff57d6bae3687e06874a37bbfab25c97128baa640781c737333d23dd6dd6c78b
-- replaces: 0009_engine 54db131133be9dae9d25c5f73e253334065f3455b523885a1f98a80a053f6c27
-- replaces: 0010_fewer_round_trips fa9876ec99a0353ddb6223161ec2caf21701ec72db0565c200bef64ef378116d
-- replaces: 0010_lighter_rows 5d8120ab9a4fbde4497e1f0c8db68416a70b3032faf4d06afbb49746f4097e09
-- replaces: 0011_superseded_children ba99d04480a76c0bb031ff470143be7855d429248d87c0930a9e55da0670dbed
-- replaces: 0012_schedules 9b678957e30995ba01f6e5f0e7bdb6045a7b5608591642c662984c511fdef934
-- replaces: 0013_secrets_to_come 07323329f5a4aa75b0adb855431508135d26bcc67b839be0f5e6d2d9c645bedf
-- replaces: 0014_open_jobs_of_schedules ea9fae9a5dc6f427c65ce5a106164ec6786ec2ede55bceba86a3e387d81d8876
-- replaces: 0015_plain_claims b80be0ea3c82df5bf5f962788cc6317660d366846ac1cbc5a123bc086410b164
-- replaces: 0016_fewer_index_entries f47c3630d38323433ec2e6e2366db18bf7a7e68f0edf2ec4dfa2340ec85e75e5
-- replaces: 0017_backups 7d45fc660f9e8bf9bb3b5ed8c0bc89fcd25d4775703d485fede2205648abc2ed
-- replaces: 0018_platform_secrets 755cbf9e8e35ffbe2a93226b30d9c9d8585e2bd81914b9884d03c504b731e87a
-- replaces: 0019_offsite 2ee927a56ab4213cbcf9145b35696200b7dd74915c44f2f27d1cecafb7c27c03
-- replaces: 0020_pooler ceef608723b80229e34af8ff902aced36498ad00bde4b72e9b020027d70ffe51
-- replaces: 0021_pool_default 7a04d8cc70ba54a46abe63b1469c24eda57401b71f4375729e9127fd0ae1842b
-- replaces: 0024_conflicts_hold_both_ways d2ca1143cddcc1a3b0f1f9ce6f23bd7ad0aeb9489197b448e969da2ceba2b317
-- replaces: 0025_superseded_jobs_are_undone e00d68da32b99abbfe617a32db8c7ec11c385dd8cb1c601188cac1232dfadeac
-- replaces: 0026_status_before_deletion 9724c62c57f1b0493d57a81c1b80a7a9a55a6bf28182d2d258bde8e07064481a

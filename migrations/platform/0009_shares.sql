-- Whether jobs of a kind may have slots beyond their owner's share while nobody else waits for one.
ALTER TABLE job_kinds ADD COLUMN bursts boolean NOT NULL DEFAULT false;

-- Logins of projects that may not begin a session for a while, since one of theirs took the lock table that all share. Their
-- connection limit is 0 meanwhile; the sweep gives it back.
CREATE TABLE kept_out_logins (
    login      text PRIMARY KEY,
    project_id text NOT NULL,
    times      integer NOT NULL DEFAULT 1,            -- in a row: each is twice as long as the one before
    ends_at    timestamptz NOT NULL
);
CREATE INDEX kept_out_logins_of_project ON kept_out_logins (project_id);

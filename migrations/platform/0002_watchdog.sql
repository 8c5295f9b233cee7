-- What the watchdog has ended, in sums: a row for each project and each limit that it went beyond. Each ending by itself
-- is a line of the audit. A project that is gone keeps its rows: what is counted never goes down.

CREATE TABLE watchdog_endings (
    project_id text NOT NULL,
    cause      text NOT NULL,
    ended      bigint NOT NULL DEFAULT 0,
    first_at   timestamptz NOT NULL DEFAULT now(),
    last_at    timestamptz NOT NULL DEFAULT now(),
    reason     text NOT NULL,                         -- of the last one, in words
    written_at timestamptz,                           -- when its owner was last written about it
    letter     text,                                  -- the job that has written the last letter
    PRIMARY KEY (project_id, cause)
);
CREATE INDEX watchdog_endings_recent ON watchdog_endings (last_at);

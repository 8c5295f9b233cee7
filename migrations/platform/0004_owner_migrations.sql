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
    began_as      text,                               -- the transaction that it runs in: the server knows what became of it
    job_id        text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz
);
-- One row a version counts; what failed is replaced by the next try.
CREATE UNIQUE INDEX owner_migrations_version ON owner_migrations (project_id, (version::numeric)) WHERE status <> 'replaced';

-- Letters of projects' Auth: sealed by who has written them, with the project's own key for letters, and not by the vault.
ALTER TABLE mail_outbox ADD COLUMN sealed_by text NOT NULL DEFAULT 'vault' CHECK (sealed_by IN ('vault', 'mail_key'));
COMMENT ON COLUMN mail_outbox.sealed_by IS 'vault: the data key of its scope; mail_key: a secret of that name of its project';

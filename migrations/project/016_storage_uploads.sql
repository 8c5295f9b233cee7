-- Uploads in parts: what they will be called, what the client said of them, and when they were finished.

SET LOCAL ROLE launchdb_tpl_storage;

ALTER TABLE storage.launchdb_uploads DROP COLUMN claims, DROP COLUMN headers, ADD COLUMN robots text,
    ADD COLUMN stated text NOT NULL, ADD COLUMN object_id uuid NOT NULL, ADD COLUMN version text NOT NULL,
    ADD COLUMN finished_at timestamptz;

RESET ROLE;

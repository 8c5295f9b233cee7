-- Since when a copy of a backup lies off the machine.
ALTER TABLE backups ADD COLUMN offsite_at timestamptz;

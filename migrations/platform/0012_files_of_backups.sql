-- How much of a project's files a backup holds; none where it was made before backups held files.
ALTER TABLE backups ADD COLUMN objects bigint, ADD COLUMN object_bytes bigint, ADD COLUMN added_bytes bigint;
COMMENT ON COLUMN backups.added_bytes IS 'what its files take up beside those of the backups before it';

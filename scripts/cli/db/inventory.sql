-- name: applied
SELECT version, applied_at FROM schema_migrations ORDER BY version;

"""Commands on backups, exports and imports."""

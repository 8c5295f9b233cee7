"""Backups, exports and imports over HTTP."""

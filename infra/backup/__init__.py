"""Backups: dumps, how they are packed, sealed, kept, compared, restored and copied elsewhere."""

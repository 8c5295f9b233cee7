"""Kinds that write, check, restore, copy and forget backups."""

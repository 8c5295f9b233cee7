"""Secrets: the vault, the keys and files it needs, passwords and tokens."""

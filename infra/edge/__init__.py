"""Caddy and the certificates that it serves."""

"""Owners over HTTP: accounts, logins, personal tokens and emails."""

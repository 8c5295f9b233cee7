"""Signing in with accounts at other providers, by OAuth 2 and OpenID Connect."""

"""Commands on an installation: from its start and update to its health, secrets and mail."""

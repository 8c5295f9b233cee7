"""Flask: the HTTP services."""

"""Commands that run one of the services."""

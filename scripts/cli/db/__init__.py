"""Commands on the platform's own database."""

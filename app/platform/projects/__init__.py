"""Projects over HTTP: their life, settings, extensions, migrations and SQL."""

"""launchdb storage: a project's files."""

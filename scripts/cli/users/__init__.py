"""The command line's way to the users of a project."""

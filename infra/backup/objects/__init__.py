"""The files of a project in its backups: each content once, encrypted, and for each set a listing of what it holds."""

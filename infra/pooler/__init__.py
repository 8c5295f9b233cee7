"""PgBouncer: its files, its console, and the logins that it lets through."""

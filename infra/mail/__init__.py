"""Mail: sending it, and the mailbox of an installation that has no server for it."""

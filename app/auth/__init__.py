"""Each project's Auth: its users, how they sign in, what is written to them; beside the platform API or alone."""

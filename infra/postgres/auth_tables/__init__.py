"""What is done from outside with the tables of a project's Auth: a dump from elsewhere comes in, old rows go."""

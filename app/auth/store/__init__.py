"""What is done with the tables of a project's schema auth, a module for each. The caller's transaction carries it."""

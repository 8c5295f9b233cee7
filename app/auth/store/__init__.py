"""What is done with the tables of a project's schema `auth`, a module a table."""

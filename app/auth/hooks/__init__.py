"""Functions of the project's database that Auth calls, and whose answers it heeds."""

"""Plans as parametrised SQL statements."""

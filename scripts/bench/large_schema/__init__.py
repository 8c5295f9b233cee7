"""A database of thousands of relations and functions, and what a data API needs to know it."""

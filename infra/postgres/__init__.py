"""Postgres: connections and clusters, the databases and roles of projects, and SQL run in them."""

"""Benches of files: Storage beside what sends and takes them otherwise."""

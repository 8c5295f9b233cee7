"""Adapters at the edge: Postgres, Redis, processes, files, keys. Small verbs, plain values in and out."""

"""Buckets: made, read, changed, emptied and deleted."""

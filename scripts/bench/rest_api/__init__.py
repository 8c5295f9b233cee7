"""Benches of the data API."""

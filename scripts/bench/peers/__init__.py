"""Peers of the engine, each a program of its own that prints its figures; they run in the benches' own environment."""

"""Kinds that change one project."""

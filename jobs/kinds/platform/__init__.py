"""Kinds that change the platform, or all projects."""

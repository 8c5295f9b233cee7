"""Mails that a project's Auth writes: their templates, and how these are filled in. There is no logic in a template."""

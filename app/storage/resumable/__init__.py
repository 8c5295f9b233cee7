"""Uploads that come in parts, and go on after a pause: TUS 1.0."""

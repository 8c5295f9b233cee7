"""Project containers as they really are."""

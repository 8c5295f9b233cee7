"""Objects: stored, read, listed, moved, copied and removed; a row and its bytes are one unit."""

"""Where the bytes of projects' files are: one protocol, and a place for each way to keep it."""

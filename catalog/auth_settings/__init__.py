"""What of a project's settings Auth reads and is more than a number or a word."""

"""What goes through Valkey: the doorbell, word of changes, and the rate limiter."""

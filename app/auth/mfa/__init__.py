"""Second factors and passkeys: what proves that somebody has the device, and what a session may do once they have."""

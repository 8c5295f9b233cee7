"""The watchdog's eyes and hands: one session of its own looks at all others; what goes beyond a limit is ended."""

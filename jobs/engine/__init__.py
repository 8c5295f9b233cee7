"""The engine: declared kinds, durable jobs, and how they are claimed, carried and watched over."""

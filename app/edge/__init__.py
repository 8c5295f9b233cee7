"""What the edge asks: where a project's requests go, and waking a project that sleeps."""

"""Running the platform over HTTP: jobs, schedules, capacity, secrets, health and metrics."""

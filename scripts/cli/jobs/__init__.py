"""Commands on jobs, queues, schedules and workers."""

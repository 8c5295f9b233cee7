"""What services share that serve all projects in one process: which project, who asks, and at which addresses."""

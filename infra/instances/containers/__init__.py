"""Project containers: their shape, the verbs that Docker is asked for them, and data APIs made of both."""

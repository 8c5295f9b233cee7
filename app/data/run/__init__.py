"""Running a statement and answering: connections, sessions, pipelines, the instances of projects."""

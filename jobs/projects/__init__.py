"""Steps and checks that several kinds share, of one project, of all, and of the platform."""

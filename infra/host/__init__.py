"""The machine that an installation in containers runs on: its folders, and docker as the host commands use it."""

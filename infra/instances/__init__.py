"""The data APIs of projects: their folders, and how each is started, found and stopped."""

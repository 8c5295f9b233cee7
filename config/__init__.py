"""What the environment says: settings, logging and the templates of generated files. Imports nothing of ours."""

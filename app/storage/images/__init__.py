"""Pictures as clients want them: smaller, cropped, in another format."""

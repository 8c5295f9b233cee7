"""The `launchdb` command line (click)."""

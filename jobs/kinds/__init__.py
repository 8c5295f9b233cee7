"""Every job kind, one file each; importing this package registers them all."""

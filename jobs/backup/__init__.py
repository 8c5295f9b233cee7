"""What the kinds share that write, restore, import and verify backups."""

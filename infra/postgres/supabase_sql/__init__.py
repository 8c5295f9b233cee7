"""SQL as projects elsewhere begin with it: what can be had of it here, and what is there instead of the rest."""

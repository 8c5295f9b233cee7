"""What the scheduler does again and again: sweep, scale idle projects down, reconcile the edge, seal."""

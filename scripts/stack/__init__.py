"""An installation in containers, as its host commands run it: started, tried, updated, taken back, stopped."""

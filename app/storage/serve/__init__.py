"""How requests reach Storage: which project, as whom, to which view, and how it is answered."""

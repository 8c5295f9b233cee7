"""How requests reach Auth: which project, by which key, to which view, and how it is answered."""

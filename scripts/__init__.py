"""What a person starts: the command line, the two commands and the benches."""

"""What may be asked for, and when: the state is checked and the job written in one transaction."""

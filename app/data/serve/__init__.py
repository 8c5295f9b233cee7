"""The data API behind WSGI: in the platform's process, or in a process of its own."""

"""What people do with Auth, a module each: the routes, and what they do with the tables."""

"""The users of a project elsewhere: what a dump of its schema `auth` holds, and how it comes into a project here."""

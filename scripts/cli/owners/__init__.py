"""Commands on owners and their sign-in: accounts, logins and personal tokens."""

"""The embedded installation: Postgres and Valkey from wheels, and the Procfile's processes, under one supervisor."""

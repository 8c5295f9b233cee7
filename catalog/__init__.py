"""Rows of the platform database that the API and the jobs share."""

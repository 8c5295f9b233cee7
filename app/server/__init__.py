"""The gunicorn worker, and what it refuses before an application is asked. Knows no Flask."""

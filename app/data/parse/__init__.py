"""Reading a request of PostgREST's grammar: filters, fields, bodies, preferences, media types."""

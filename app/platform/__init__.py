"""The platform API, one folder a noun or a group of them: routes, bodies and answers."""

"""GET /health: whether a project's Auth is there, as the reference says it."""

from __future__ import annotations

from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from config.version import VERSION


def health(_call: AuthCall) -> AuthAnswer:
    """Answer who this is."""
    return AuthAnswer(
        {"version": f"v{VERSION}", "name": "GoTrue", "description": "LaunchDB Auth, to its clients GoTrue"}
    )


ROUTES = (AuthRoute("GET", "/health", "open", health),)

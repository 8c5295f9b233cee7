"""What is known of a request when nobody serves the project that it is for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UnservedRequest:
    """A request for a project's data API.

    path   below the API's own address
    gated  whether it needs an API key
    key    the API key that it bears, wherever
    """

    project_id: str
    method: str
    path: str
    gated: bool
    key: str | None
    authorization: str | None
    agent: str

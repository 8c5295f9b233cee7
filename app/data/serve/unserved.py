"""What is known of a request when nobody serves the project that it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class UnservedRequest:
    """A request for a project's data API, its Auth or its Storage.

    path     below the API's own address; "/": whoever asks for it looks only whether somebody is there
    gated    whether it needs an API key
    key      the API key that it bears, wherever
    service  which of the project's it is for
    """

    project_id: str
    method: str
    path: str
    gated: bool
    key: str | None
    authorization: str | None
    agent: str
    service: Literal["data", "auth", "storage"] = "data"


def key_of(header: str | None, query: str) -> str | None:
    """Return the API key that a request bears, in its header or in its query."""
    pairs = parse_qsl(query) if "apikey" in query.lower() else []
    return header or next((value for name, value in pairs if name.lower() == "apikey"), None)

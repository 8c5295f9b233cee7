"""Whether Storage is there, and of which version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.storage.serve.call import StorageAnswer, StorageRoute
from config.version import VERSION

if TYPE_CHECKING:
    from app.storage.serve.call import StorageCall


def status(_call: StorageCall) -> StorageAnswer:
    """Answer that we are there."""
    return StorageAnswer({"healthy": True})


def version(_call: StorageCall) -> StorageAnswer:
    """Answer which version this is."""
    return StorageAnswer({"version": VERSION})


ROUTES = (
    StorageRoute("GET", "/status", "open", "health", status),
    StorageRoute("GET", "/health", "open", "health", status),
    StorageRoute("GET", "/version", "open", "version", version),
)

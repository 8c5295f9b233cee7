"""A protocol that Storage speaks: how requests name what is asked for, who asks, and how a refusal is put."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Response

    from app.storage.errors import StorageError
    from app.storage.serve.call import Readable, StorageRoute
    from app.storage.serve.caller import Caller
    from app.storage.serve.project import StorageProject


@dataclass(frozen=True)
class Admitted:
    """Who asks, and what they send. length: of the body, in bytes, or None where nobody has said it."""

    caller: Caller
    body: Readable
    length: int | None


class Dialect(Protocol):
    """One protocol. Each method looks at Flask's request."""

    def route(self, path: str) -> tuple[StorageRoute, Mapping[str, str]]:
        """Return what is asked for, and the values of its path. Raises StorageError.

        path  below the project's Storage, with a slash before it
        """

    def admit(self, route: StorageRoute, project: StorageProject, clock: Callable[[], float]) -> Admitted:
        """Return who asks. Raises StorageError."""

    def refusal(self, error: StorageError) -> Response:
        """Return the answer to what is refused."""

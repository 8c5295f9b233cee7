"""One request to Storage as views see it, what they answer, and how they are declared."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol

from app.storage.errors import StorageError, invalid_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from app.storage.serve.caller import Caller
    from app.storage.serve.project import Asked, StorageProject
    from app.storage.serve.services import StorageServices
    from app.storage.serve.transaction import StorageTransaction

# open: nobody is asked, and a token counts for nothing; maybe: without a token it is for nobody; token: one is needed.
Access = Literal["open", "maybe", "token"]
JSON_BYTES_MAX = 1024 * 1024


class Readable(Protocol):
    """What comes of a request."""

    def read(self, size: int = ..., /) -> bytes:
        """Read so many bytes, or fewer at the end."""


@dataclass(frozen=True)
class StorageCall:
    """One request.

    services  what all projects share in this process
    caller    who asks; nobody where access is open
    asked     what policies can see of it
    path      the values of the rule's variables: bucket, and key
    query     the first value of each parameter
    repeated  all values of each parameter
    body      the bytes that came, which are read once
    length    how many there are, or None where the client did not say
    """

    project: StorageProject
    services: StorageServices
    caller: Caller
    asked: Asked
    method: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    repeated: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Readable
    length: int | None

    def transaction(self, *, once: bool = False) -> AbstractContextManager[StorageTransaction]:
        """Lend a transaction that runs as Storage's login until it becomes the caller.

        once  whether it ends with the first statements that are answered
        """
        return self.project.transaction(self.asked, once=once)

    def given(self, name: str) -> list[str]:
        """Return every value of a parameter: where one counts, a second one is for somebody else's eyes."""
        return self.repeated.get(name, [])

    def json(self) -> dict[str, Any]:
        """Read the body as a JSON object; nothing counts as an empty one. Raises StorageError."""
        if (self.length or 0) > JSON_BYTES_MAX:
            raise _too_much()
        raw = b"".join(self.chunks(JSON_BYTES_MAX))
        if not raw.strip():
            return {}
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise invalid_request("body must be object")
        refuse_unstorable(found)
        return found

    def chunks(self, most: int, size: int = 262_144) -> Iterator[bytes]:
        """Read the body in parts. Raises StorageError when it is longer than most, or ends before its length."""
        read = 0
        while part := self.body.read(min(size, most + 1 - read)):
            read += len(part)
            if read > most:
                raise _too_much()
            yield part
        if self.length is not None and read < self.length:
            raise cut_short()


def cut_short() -> StorageError:
    """Return the refusal of a body that ended before its length."""
    return StorageError(400, "InvalidRequest", "InvalidRequest", "The body ended before its length")


def refuse_unstorable(found: Any) -> None:
    """Raise StorageError for a text, however deep, that Postgres cannot hold."""
    try:
        text = json.dumps(found, ensure_ascii=False)
        text.encode()
    except (UnicodeEncodeError, RecursionError):
        raise invalid_request("body holds characters that cannot be stored") from None
    if "\\u0000" in text:
        raise invalid_request("body holds characters that cannot be stored")


def _too_much() -> StorageError:
    return StorageError(413, "Payload too large", "EntityTooLarge", "Request body is too large")


@dataclass(frozen=True)
class StorageAnswer:
    """What a view answers: a JSON body, a file, text of another kind, or nothing.

    content  sent as it is; the headers say what it is
    file     read from where it stands, as many bytes as the header Content-Length says; closed when it was sent
    """

    body: Any = None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = field(default=())
    file: IO[bytes] | None = None
    content: bytes | None = None


@dataclass(frozen=True)
class StorageRoute:
    """One route below a project's Storage. operation: as policies are told, without the prefix.

    path  as werkzeug's rules are written, such as `/bucket/<bucket>`
    """

    method: str
    path: str
    access: Access
    operation: str
    view: Callable[[StorageCall], StorageAnswer]

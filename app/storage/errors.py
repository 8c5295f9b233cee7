"""What Storage refuses, in the words of the reference, which clients act upon."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable

# Sent as they are; whatever else is refused is a 400 of HTTP, and says its own status in the body.
PLAIN_STATUSES = frozenset({429, 500, 503, 507, 544})
_OF_TABLE = re.compile(r"(violates row-level security policy).*", re.DOTALL)


class StorageError(Exception):
    """A refusal as clients read it.

    status   what the body says, as text
    error    the word, such as `not_found`, or a sentence where the reference has one
    code     the finer word, such as `NoSuchKey`
    message  the sentence
    http     the status of HTTP; None: as the reference sends it for this status
    text     whether the sentence alone is sent, as clients of TUS read it
    """

    text = False

    def __init__(
        self,
        status: int,
        error: str,
        code: str,
        message: str,
        *,
        http: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.error, self.code, self.message, self.headers = status, error, code, message, headers
        self.http = http if http is not None else (status if status in PLAIN_STATUSES else 400)

    @property
    def body(self) -> dict[str, Any]:
        """The body of the answer: clients need the first three, and the status as text."""
        return {"statusCode": str(self.status), "error": self.error, "message": self.message, "code": self.code}


def no_such_bucket() -> StorageError:
    """Return the refusal of a bucket that is not there, or not for the caller's eyes."""
    return StorageError(404, "Bucket not found", "NoSuchBucket", "Bucket not found")


def no_such_object() -> StorageError:
    """Return the refusal of an object that is not there, or not for the caller's eyes."""
    return StorageError(404, "not_found", "NoSuchKey", "Object not found")


def access_denied(message: str = "new row violates row-level security policy", http: int = 400) -> StorageError:
    """Return the refusal of what the caller may not do."""
    return StorageError(403, "Unauthorized", "AccessDenied", message, http=http)


def already_exists(code: str = "KeyAlreadyExists") -> StorageError:
    """Return the refusal of a second bucket or object of a name."""
    return StorageError(409, "Duplicate", code, "The resource already exists")


def too_large() -> StorageError:
    """Return the refusal of more bytes than an object may have."""
    return StorageError(413, "Payload too large", "EntityTooLarge", "The object exceeded the maximum allowed size")


def invalid_mime(message: str) -> StorageError:
    """Return the refusal of a media type."""
    return StorageError(415, "invalid_mime_type", "InvalidMimeType", message)


def invalid_key(key: str) -> StorageError:
    """Return the refusal of a name that no object may have."""
    return StorageError(400, "InvalidKey", "InvalidKey", f"Invalid key: {key}")


def invalid_request(message: str) -> StorageError:
    """Return the refusal of a body or parameter that cannot be used."""
    return StorageError(400, "InvalidRequest", "InvalidRequest", message)


def over_quota() -> StorageError:
    """Return the refusal of more than the project may keep."""
    return StorageError(507, "Insufficient Storage", "QuotaExceeded", "The project's storage quota is used up")


def of_postgres(error: psycopg.Error) -> StorageError:
    """Return what an error of a caller's transaction means for them; only what was written for them is told."""
    state, said = error.sqlstate or "", error.diag.message_primary or ""
    if not state and isinstance(error, psycopg.DataError):  # of the driver: no text can hold it
        return invalid_request("The request holds characters that cannot be stored")
    if state == "42501":
        return access_denied(_OF_TABLE.sub(r"\1", said))
    if state in _OF_STATES:
        return _OF_STATES[state]()
    if state.startswith(("22", "23", "P0", "42", "PT")):
        # What a policy or trigger of the owner's says, as the data API would tell it.
        return StorageError(400, "DatabaseError", "DatabaseError", said)
    return StorageError(500, "Internal", "InternalError", "Internal Server Error")


_OF_STATES: dict[str, Callable[[], StorageError]] = {
    "23505": already_exists,
    "23503": no_such_bucket,
    "57014": lambda: StorageError(544, "DatabaseTimeout", "DatabaseTimeout", "The database did not answer in time"),
    "55P03": lambda: StorageError(423, "ResourceLocked", "ResourceLocked", "The resource is locked by another request"),
}

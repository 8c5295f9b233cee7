"""What TUS says in headers: https://tus.io/protocols/resumable-upload, version 1.0.0."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from app.storage.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,termination,expiration"
PART = "application/offset+octet-stream"
STATED_BYTES_MAX = 16_384
_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)
SAID = (("Tus-Resumable", VERSION),)


def check_version(headers: Mapping[str, str]) -> None:
    """Raise StorageError for another version of the protocol."""
    if headers.get("Tus-Resumable") != VERSION:
        raise refused(412, "Tus-Resumable Required", (("Tus-Version", VERSION),))


def number_of(headers: Mapping[str, str], name: str) -> int:
    """Return a header that is a whole number. Raises StorageError."""
    text = headers.get(name) or ""
    if not _NUMBER.fullmatch(text):
        raise refused(400, f"{name} header is missing, or no number")
    return int(text)


def metadata_of(stated: str) -> dict[str, str]:
    """Return what a client says of its file: names, and values in base64. Raises StorageError."""
    found: dict[str, str] = {}
    if len(stated) > STATED_BYTES_MAX:
        raise refused(400, "Upload-Metadata is too long")
    for pair in filter(None, (part.strip() for part in stated.split(","))):
        name, _, value = pair.partition(" ")
        try:
            found[name] = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise refused(400, f"Upload-Metadata: {name[:100]} is not in base64") from error
    return found


def refused(status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> StorageError:
    """Return a refusal as clients of TUS read it: by its status, with a sentence."""
    return as_text(StorageError(status, "Error", "Error", message, http=status, headers=headers))


def as_text(error: StorageError) -> StorageError:
    """Return another's refusal in that form, with its own status."""
    error.http, error.text = error.status, True
    error.headers = (*SAID, *error.headers)
    return error

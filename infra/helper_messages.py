"""What a process and its helper say to each other: something short in JSON, and the content that it is about."""

from __future__ import annotations

import json
import struct
from typing import IO, Any

# Bytes of what is said, and of the content.
SIZES = struct.Struct("!II")
COPIED_BYTES = 1024 * 1024


def write_message(stream: IO[bytes], about: dict[str, Any], content: bytes) -> None:
    """Send a content and what is said of it."""
    _write_head(stream, about, len(content))
    stream.write(content)
    stream.flush()


def copy_message(stream: IO[bytes], about: dict[str, Any], source: IO[bytes], size: int) -> None:
    """Send a content of this size as it is read, never all of it in memory. Raises EOFError when it is shorter."""
    _write_head(stream, about, size)
    while size:
        part = source.read(min(size, COPIED_BYTES))
        if not part:
            raise EOFError
        stream.write(part)
        size -= len(part)
    stream.flush()


def read_message(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Receive what was sent. Raises EOFError at the end."""
    about, content = SIZES.unpack(_exactly(stream, SIZES.size))
    found: dict[str, Any] = json.loads(_exactly(stream, about))
    return found, _exactly(stream, content)


def _write_head(stream: IO[bytes], about: dict[str, Any], size: int) -> None:
    head = json.dumps(about).encode()
    stream.write(SIZES.pack(len(head), size) + head)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    read = stream.read(size)
    if len(read) < size:
        raise EOFError
    return read

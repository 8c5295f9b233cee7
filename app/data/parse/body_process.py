"""Reads large bodies for the process that serves many projects, whose interpreter nobody else could use meanwhile.

Started by `app.data.run.large_bodies`: a body comes in on standard input, what was read of it goes out on standard
output, until the input ends.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from app.data.errors import PgrstError
from app.data.parse import body
from infra.helper_messages import read_message, write_message
from infra.priority import step_back_process

if TYPE_CHECKING:
    from app.data.parse.body import Payload

NICE = 10


def answer(about: dict[str, Any], raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Read a body; return what is to be said of it, and its text unless that is the body itself."""
    columns = None if about["columns"] is None else tuple(about["columns"])
    try:
        read = body.read(raw, about["kind"], columns, routine=about["routine"])
    except PgrstError as fault:
        return {"fault": [fault.code, fault.message, fault.status]}, b""
    same = isinstance(read.text, bytes) or read.text.encode() == raw
    said = {"keys": read.keys, "object": read.is_object, "pairs": read.pairs, "same": same}
    return {**said, "binary": isinstance(read.text, bytes)}, b"" if same else str(read.text).encode()


def payload(said: dict[str, Any], text: bytes, raw: bytes) -> Payload:
    """Return what was read of a body. Raises PgrstError as the reader has."""
    if "fault" in said:
        code, message, status = said["fault"]
        raise PgrstError(code, message, status=status)
    content = raw if said["same"] else text
    pairs = tuple((str(name), str(value)) for name, value in said["pairs"])
    return body.Payload(
        content if said["binary"] else content.decode(), tuple(said["keys"]), is_object=said["object"], pairs=pairs
    )


def main() -> None:
    """Read one body after the other until there are no more."""
    step_back_process(NICE)
    while True:
        try:
            about, raw = read_message(sys.stdin.buffer)
        except EOFError:
            return
        write_message(sys.stdout.buffer, *answer(about, raw))


if __name__ == "__main__":
    main()

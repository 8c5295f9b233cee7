"""The status line as everybody sends it: `201 Created`, where the framework would say `201 CREATED`."""

from __future__ import annotations

from http import HTTPStatus

from werkzeug.http import HTTP_STATUS_CODES


def status_line(status: int) -> str:
    """Return a status with its usual reason phrase; one that HTTP does not know has none."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} "


def usual(line: str) -> str:
    """Return a status line with the usual phrase in place of the framework's; a phrase of the caller's own stays."""
    code, _, phrase = line.partition(" ")
    if code.isdigit() and phrase == HTTP_STATUS_CODES.get(int(code), "Unknown").upper():
        return status_line(int(code))
    return line

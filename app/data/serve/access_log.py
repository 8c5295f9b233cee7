"""A line for each answer of a server of its own, from the log level on that the configuration names."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from werkzeug.wrappers import Request, Response

LEVELS = {
    "crit": logging.CRITICAL, "error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO,
    "debug": logging.DEBUG,
}  # fmt: skip
SERVER_FAULT, CLIENT_FAULT = 500, 400
log = logging.getLogger("launchdb.data.access")
# A key may stand in a URL, and has no place in a log.
_KEY = re.compile(r"(?<=[?&]apikey=)[^&]*")
_UNPRINTABLE = re.compile(r"[^ -~]")


def use_level(name: str) -> None:
    """Log answers from this level on."""
    log.setLevel(LEVELS[name])


def note(request: Request, response: Response) -> None:
    """Log an answer: a fault of ours as an error, one of the client's as a warning, what went well as information."""
    status = response.status_code
    fault = logging.WARNING if status >= CLIENT_FAULT else logging.INFO
    level = logging.ERROR if status >= SERVER_FAULT else fault
    if not log.isEnabledFor(level):
        return
    target = str(request.environ.get("RAW_URI") or request.full_path)
    agent = str(request.headers.get("User-Agent", ""))
    log.log(
        level,
        '%s "%s %s" %s %s "%s"',
        request.remote_addr or "-",
        request.method,
        _plain(_KEY.sub("*", target)),
        status,
        response.content_length if response.content_length is not None else "-",
        _plain(agent),
    )


def _plain(text: str) -> str:
    return _UNPRINTABLE.sub("?", text.replace('"', "'"))

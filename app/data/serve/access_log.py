"""A line for each answer of a server of its own, from the log level on that the configuration names."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.data.serve.wsgi import WireAnswer

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


def note(environ: Mapping[str, Any], answer: WireAnswer) -> None:
    """Log an answer: a fault of ours as an error, one of the client's as a warning, what went well as information."""
    status = int(answer.status[:3])
    fault = logging.WARNING if status >= CLIENT_FAULT else logging.INFO
    level = logging.ERROR if status >= SERVER_FAULT else fault
    if not log.isEnabledFor(level):
        return
    target = str(environ.get("RAW_URI") or f"{environ.get('PATH_INFO', '')}?{environ.get('QUERY_STRING', '')}")
    length = next((value for name, value in answer.headers if name == "Content-Length"), "-")
    log.log(
        level,
        '%s "%s %s" %s %s "%s"',
        environ.get("REMOTE_ADDR") or "-",
        environ["REQUEST_METHOD"],
        _plain(_KEY.sub("*", target)),
        status,
        length,
        _plain(str(environ.get("HTTP_USER_AGENT", ""))),
    )


def _plain(text: str) -> str:
    return _UNPRINTABLE.sub("?", text.replace('"', "'"))

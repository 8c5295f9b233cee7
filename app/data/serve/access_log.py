"""A line for each answer of a server of its own, from the log level on that the configuration names."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any, TextIO

from app.data.errors import PgrstError
from app.data.run.bearer import identify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.data.config import DataConfig
    from app.data.serve.wsgi import WireAnswer

LEVELS = {
    "crit": logging.CRITICAL, "error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO,
    "debug": logging.DEBUG,
}  # fmt: skip
SERVER_FAULT, CLIENT_FAULT = 500, 400
BODY_LETTERS_MAX = 2000
SAID_SECONDS = 0.9
log = logging.getLogger("launchdb.data.access")
# A key may stand in a URL, and has no place in a log.
_KEY = re.compile(r"(?<=[?&]apikey=)[^&]*")
# A server that has no secret says so to whoever brings a token; nothing has failed.
_OF_TOKENS = b'{"code":"PGRST3'
_said: dict[str, float] = {}
_UNPRINTABLE = re.compile(r"[^ -~]")


def use_level(name: str) -> None:
    """Log answers from this level on."""
    log.setLevel(LEVELS[name])


def write_to(stream: TextIO) -> None:
    """Write the lines as they are, without the time and level that other messages begin with."""
    log.handlers = [logging.StreamHandler(stream)]
    log.propagate = False


def note(environ: Mapping[str, Any], answer: WireAnswer, config: DataConfig) -> None:
    """Log an answer: a fault of ours as an error, one of the client's as a warning, what went well as information.

    A fault of ours is said before its line. A browser's question what it may do is no request.
    """
    if environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
        return
    status = int(answer.status[:3])
    fault = logging.WARNING if status >= CLIENT_FAULT else logging.INFO
    level = logging.ERROR if status >= SERVER_FAULT else fault
    if not log.isEnabledFor(level):
        return
    if status >= SERVER_FAULT and answer.body and not answer.body.startswith(_OF_TOKENS):
        _say_once(level, _plain_line(answer.body))
    log.log(level, "%s", _line(environ, answer, _role(environ, config)))


def _line(environ: Mapping[str, Any], answer: WireAnswer, role: str) -> str:
    """Return an answer's line in the format that web servers share."""
    target = str(environ.get("RAW_URI") or f"{environ.get('PATH_INFO', '')}?{environ.get('QUERY_STRING', '')}")
    length = next((value for name, value in answer.headers if name == "Content-Length"), "-")
    asked = f"{environ['REQUEST_METHOD']} {_plain(_KEY.sub('*', target))} {environ.get('SERVER_PROTOCOL', 'HTTP/1.1')}"
    referer, agent = (_plain(str(environ.get(f"HTTP_{name}", ""))) for name in ("REFERER", "USER_AGENT"))
    now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    address = environ.get("REMOTE_ADDR") or "-"
    return f'{address} - {role} [{now}] "{asked}" {answer.status[:3]} {length} "{referer}" "{agent}"'


def _say_once(level: int, text: str) -> None:
    """Log what failed, but not again for each of many requests that fail alike at the same time."""
    now = time.monotonic()
    if _said.get(text, -SAID_SECONDS) <= now - SAID_SECONDS:
        _said.clear()
        _said[text] = now
        log.log(level, "%s", text)


def _role(environ: Mapping[str, Any], config: DataConfig) -> str:
    """Return the role that a request's token names, or a dash where it is refused or somebody else reads it."""
    if config.launchdb_gateway:
        return "-"
    try:
        return _plain(identify(environ.get("HTTP_AUTHORIZATION"), config).role)
    except PgrstError:
        return "-"


def _plain_line(body: bytes) -> str:
    return " ".join(body[:BODY_LETTERS_MAX].decode("utf-8", "replace").split())


def _plain(text: str) -> str:
    return _UNPRINTABLE.sub("?", text.replace('"', "'"))

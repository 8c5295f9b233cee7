"""JSON log lines with the ids of the request, job and project at hand, and with secrets taken out."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

HIDDEN = "[hidden]"
# Passwords in URLs and conninfo, bearer tokens, JWTs and personal access tokens, wherever a library may quote them;
# each after what a text without its case must hold for the pattern to match at all.
_PATTERNS = (
    ("://", re.compile(r"(?<=://)([^:/@\s]*):[^@\s]+(?=@)")),
    ("password", re.compile(r"(?i)(\bpassword)\s*=\s*('[^']*'|[^\s;]+)")),
    ("bearer", re.compile(r"(?i)(\bbearer)\s+[\w.~+/=-]+")),
    ("eyj", re.compile(r"()\beyJ[\w-]+\.[\w-]+\.[\w-]*")),
    ("ldb", re.compile(r"()\bldbr?_[\w-]+")),
)
# What logging itself puts into a record; whatever else is there was added by who wrote the line.
_OF_EVERY_RECORD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# Values known to be secret, registered by whoever reads them; longer ones first, so that no tail remains.
_known: set[str] = set()
_longest_first: tuple[str, ...] = ()
_known_lock = threading.Lock()
SHORTEST_SECRET = 8


def hide_values(*secrets: str) -> None:
    """Remember values that must never appear in a log line, an event or an error."""
    global _longest_first  # noqa: PLW0603 - replaced whole, so that readers need no lock
    with _known_lock:
        _known.update(secret for secret in secrets if len(secret) >= SHORTEST_SECRET)
        _longest_first = tuple(sorted(_known, key=len, reverse=True))


def scrub(text: str) -> str:
    """Take secrets out of a text: the values we know, and what looks like one."""
    for secret in _longest_first:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    folded = text.casefold()
    for mark, pattern in _PATTERNS:
        if mark in folded:
            text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


class JsonLines(logging.Formatter):
    """One JSON object a record: what happened, the ids at hand, what the caller added, and when. Without secrets."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event = {"event": record.getMessage(), **structlog.contextvars.get_contextvars()}
        event["level"], event["logger"] = record.levelname.lower(), record.name
        event.update((name, value) for name, value in record.__dict__.items() if name not in _OF_EVERY_RECORD)
        event["at"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")[:-6] + "Z"
        event["service"] = self._service
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            event["stack"] = record.stack_info
        return json.dumps(_scrubbed(event))


def _scrubbed(value: Any) -> Any:
    """Return the value as JSON can hold it, without secrets in whatever it holds, names included."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {scrub(str(name)): _scrubbed(held) for name, held in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrubbed(held) for held in value]
    return scrub(str(value))


def setup_logging(service: str, *, level: int = logging.INFO) -> None:
    """Send every log record of this process to standard error, one JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # These say nothing an operator can act on below a warning.
    for name in ("psycopg.pool", "dramatiq", "werkzeug"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def log_context(**ids: str | None) -> Iterator[None]:
    """Put these ids on every log line written inside, in this thread."""
    with structlog.contextvars.bound_contextvars(**{name: value for name, value in ids.items() if value}):
        yield

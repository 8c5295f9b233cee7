"""JSON log lines with the ids of the request, job and project at hand, and with secrets taken out."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HIDDEN = "[hidden]"
# Passwords in URLs and conninfo, bearer tokens, JWTs, personal access tokens and secret keys, wherever a library may
# quote them; each after what a text without its case must hold for the pattern to match at all.
_PATTERNS = (
    ("://", re.compile(r"(?<=://)([^:/@\s]*):[^@\s]+(?=@)")),
    ("password", re.compile(r"(?i)(\bpassword)\s*=\s*('[^']*'|[^\s;]+)")),
    ("bearer", re.compile(r"(?i)(\bbearer)\s+[\w.~+/=-]+")),
    ("eyj", re.compile(r"()\beyJ[\w-]+\.[\w-]+\.[\w-]*")),
    ("ldb", re.compile(r"()\bldbr?_[\w-]+")),
    ("sb_secret", re.compile(r"()\bsb_secret_[\w-]+")),
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


def escape_controls(text: str) -> str:
    """Return the text with each control character but the tab as an escape: one line, which rules no terminal."""
    return text.translate(_CONTROLS)


_CONTROLS = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160)) if chr(number) != "\t"}
_CONTROLS |= {number: f"\\u{number:04x}" for number in (0x2028, 0x2029)}


class ProjectShare(logging.Filter):
    """Leaves each project so many lines in a minute; the next one that is let through says how many were left out.

    Lines that say nothing of a project pass, and warnings have a share of their own: whoever asks ten thousand times a
    minute pushes nobody else's lines out of the log.
    """

    def __init__(self, most: int = 600, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._most, self._seconds, self._clock = most, seconds, clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, bool], int] = {}
        self._left_out: dict[tuple[str, bool], int] = {}
        self._until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is within the share of the project that it is about."""
        project = getattr(record, "project_id", None) or structlog.contextvars.get_contextvars().get("project_id")
        if project is None:
            return True
        key = (str(project), record.levelno >= logging.WARNING)
        with self._lock:
            now = self._clock()
            if now >= self._until:
                self._until = now + self._seconds
                self._left_out = {name: seen - self._most for name, seen in self._seen.items() if seen > self._most}
                self._seen.clear()
            seen = self._seen[key] = self._seen.get(key, 0) + 1
            if seen > self._most:
                return False
            left_out = self._left_out.pop(key, 0)
        if left_out:
            record.lines_left_out = left_out
        return True


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
    handler.addFilter(ProjectShare())
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

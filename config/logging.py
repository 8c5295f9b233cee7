"""JSON log lines with the ids of the request, job and project at hand, and with secrets taken out."""

from __future__ import annotations

import logging
import re
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

HIDDEN = "[hidden]"
# Passwords in URLs and conninfo, bearer tokens, JWTs and tokens of ours, wherever a library may quote them.
_PATTERNS = (
    re.compile(r"(?<=://)([^:/@\s]*):[^@\s]+(?=@)"),
    re.compile(r"(?i)(\bpassword)\s*=\s*('[^']*'|[^\s;]+)"),
    re.compile(r"(?i)(\bbearer)\s+[\w.~+/=-]+"),
    re.compile(r"()\beyJ[\w-]+\.[\w-]+\.[\w-]*"),
    re.compile(r"()\bldb[rpi]?_[\w-]+"),
)
# Values known to be secret, registered by whoever reads them; longer ones first, so that no tail remains.
_known: set[str] = set()
_known_lock = threading.Lock()
SHORTEST_SECRET = 8


def hide(*secrets: str) -> None:
    """Remember values that must never appear in a log line, an event or an error."""
    with _known_lock:
        _known.update(secret for secret in secrets if len(secret) >= SHORTEST_SECRET)


def scrub(text: str) -> str:
    """Take secrets out of a text: the values we know, and what looks like one."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


def _scrub_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {name: scrub(value) if isinstance(value, str) else value for name, value in event.items()}


def setup(service: str, *, level: int = logging.INFO) -> None:
    """Send every log record of this process to standard error, one JSON object a line."""
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        lambda _logger, _method, event: {**event, "service": service},
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _scrub_event,
                structlog.processors.JSONRenderer(sort_keys=False, default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # These say nothing an operator can act on below a warning.
    for name in ("psycopg.pool", "dramatiq", "werkzeug"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def bound(**ids: str | None) -> Iterator[None]:
    """Put these ids on every log line written inside, in this thread."""
    with structlog.contextvars.bound_contextvars(**{name: value for name, value in ids.items() if value}):
        yield

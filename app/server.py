"""The gunicorn worker: what it refuses before the application sees it is a problem document as well."""

from __future__ import annotations

import json
import logging
from typing import Any

import uuid_utils
from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from app.problems import MEDIA_TYPE, Problem, document

log = logging.getLogger(__name__)

# The first that fits counts.
_REFUSED: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.LimitRequestLine, 414, "the request line is too long"),
    (errors.LimitRequestHeaders, 431, "there are too many headers, or one is too long"),
    (errors.UnsupportedTransferCoding, 501, "this transfer coding is not known"),
    (errors.ExpectationFailed, 417, "this expectation cannot be met"),
    (errors.ParseException, 400, "the request is not HTTP as it should be"),
)
_REASONS = {400: "Bad Request", 414: "URI Too Long", 417: "Expectation Failed", 431: "Header Fields Too Large"}


class ProblemWorker(ThreadWorker):  # type: ignore[misc]
    """gthread, with problem documents for errors."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer a request that could not be read; anything else is gunicorn's own business."""
        found = next(((status, detail) for known, status, detail in _REFUSED if isinstance(exc, known)), None)
        if found is None:
            super().handle_error(req, client, addr, exc)
            return
        status, detail = found
        log.info(
            "request refused", extra={"status": status, "address": (addr or ("",))[0], "error": type(exc).__name__}
        )
        try:
            util.write_nonblock(client, _answer(status, detail))
        except OSError:
            log.debug("the client has gone")


def _answer(status: int, detail: str) -> bytes:
    request_id = uuid_utils.uuid7().hex
    reason = _REASONS.get(status, "Not Implemented")
    problem = Problem(status, reason.lower().replace(" ", "-"), detail)
    body = json.dumps(document(problem, instance="", request_id=request_id)).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: {MEDIA_TYPE}\r\n"
        f"X-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1") + body

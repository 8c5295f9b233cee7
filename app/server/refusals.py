"""What a front refuses before an application is asked, in the words of whom the request was for.

A platform's client reads problem documents; a client of a project reads the data API's errors, and a browser shows it
neither without CORS headers.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import uuid_utils

from app.data.errors import PgrstError
from app.server import cors
from app.server.problem import MEDIA_TYPE, Problem, document
from app.server.status_line import status_line
from config import limits

_PROJECTS = re.compile(r"/+(?:project|db|auth|storage)(?:/|$)")
# What the edge asks for clients of projects, with what they sent.
_ASKED_FOR_THEM = "/api/edge/"
_TARGET_SEEN = 256


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered.

    kind    the type of the problem that the platform's clients are told
    code    the code that clients of projects are told
    """

    status: int
    kind: str
    detail: str
    code: str
    hint: str | None = None

    @property
    def fault(self) -> PgrstError:
        """Return it as the data API says it."""
        headers = (("Retry-After", "1"),) if self.status in (429, 503) else ()
        message = self.detail[0].upper() + self.detail[1:]
        return PgrstError(self.code, message, None, self.hint, status=self.status, headers=headers)


URL_TOO_LONG = Refusal(414, "uri-too-long", limits.URL_TOO_LONG, limits.URL_TOO_LONG_CODE, limits.URL_TOO_LONG_HINT)
HEAD_TOO_LARGE = Refusal(431, "header-fields-too-large", "there are too many headers, or one is too long", "431")
NOT_IN_TIME = Refusal(408, "request-timeout", "the request did not arrive in time", "408")
NO_HTTP = Refusal(400, "bad-request", "the request is not HTTP as it should be", "400")
CODING_UNKNOWN = Refusal(501, "not-implemented", "this transfer coding is not known", "501")
EXPECTATION_FAILED = Refusal(417, "expectation-failed", "this expectation cannot be met", "417")
AWAY = Refusal(503, "unavailable", "a part of the platform is unavailable; try again", "503")
FULL = Refusal(503, "unavailable", "there are too many connections; try again", "503")
# A share of the threads is used up, and as many wait for it as may.
BUSY = {
    "project": Refusal(503, "unavailable", "too many requests of this project are being answered; try again", "503"),
    "sign-in": Refusal(429, "too-many-requests", "too many sign-ins at a time; try again", "429"),
    "other": FULL,
}
BROKEN = Refusal(500, "internal", "something went wrong", "XX000")


def is_for_projects(path: str) -> bool:
    """Return whether a path is one at which clients of projects ask."""
    return _PROJECTS.match(path) is not None


@dataclass(frozen=True)
class Asked:
    """What is known of a request whose head has not come, or makes no sense."""

    method: str = ""
    path: str = ""

    @classmethod
    def of(cls, arrived: bytes | bytearray) -> Asked:
        """Read the first line, as far as it goes."""
        line = bytes(arrived[: _TARGET_SEEN + 16]).lstrip(b"\r\n").partition(b"\r\n")[0].decode("latin-1")
        method, _, target = line.partition(" ")
        return cls(method, target.partition(" ")[0].partition("?")[0])


def answer(refusal: Refusal, asked: Asked, *, projects_alone: bool = False) -> bytes:
    """Return the whole answer, after which the connection ends. projects_alone: nobody else asks here."""
    if not (projects_alone or is_for_projects(asked.path) or asked.path.startswith(_ASKED_FOR_THEM)):
        status, headers, body = _for_platform(refusal)
    elif asked.method == "OPTIONS" and refusal.status in (414, 431):
        # A browser asks first; what it then sends is refused in words that it can show.
        status, headers, body = 200, [*_CORS, *cors.preflight("*")], b""
    else:
        fault = refusal.fault
        status, headers = fault.status, [*fault.head(), *_CORS]
        body = b"" if asked.method == "HEAD" else fault.payload()
    head = [f"HTTP/1.1 {status_line(status)}", "Connection: close", f"Content-Length: {len(body)}"]
    head += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


# No project is known yet whose allowed origins could be asked for, and nothing of one is in such an answer.
_CORS = cors.headers("*", ())


def _for_platform(refusal: Refusal) -> tuple[int, list[tuple[str, str]], bytes]:
    request_id = uuid_utils.uuid7().hex
    problem = Problem(refusal.status, refusal.kind, refusal.detail)
    body = json.dumps(document(problem, instance="", request_id=request_id)).encode()
    return refusal.status, [("Content-Type", MEDIA_TYPE), ("X-Request-Id", request_id), *refusal.fault.headers], body

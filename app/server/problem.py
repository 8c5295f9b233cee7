"""A refusal of the HTTP layer, and the RFC 9457 document that says it: light enough for a data API in its container."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """A refusal of the HTTP layer itself.

    errors  pointer and detail of each fault in the input
    more    members of the document that this type of problem has besides
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.more = {name: value for name, value in (more or {}).items() if value is not None}


def invalid(pointer: str, detail: str, *, status: int = 422) -> Problem:
    """Return the problem of one faulty member."""
    return Problem(status, "invalid-input", "the input is not valid", errors=[{"pointer": pointer, "detail": detail}])


def document(problem: Problem, *, instance: str, request_id: str) -> dict[str, Any]:
    """Return the problem as its JSON document."""
    return {
        "type": f"/problems/{problem.kind}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance,
        "requestId": request_id,
        **({"errors": problem.errors} if problem.errors else {}),
        **problem.more,
    }

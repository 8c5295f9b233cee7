"""How a command ends: one sentence on standard error and an exit code that scripts can act on."""

from __future__ import annotations

from typing import Any

DONE, FAILURE, USAGE, JOB_FAILED, CONFLICT, NOT_FOUND, NOT_ALLOWED = range(7)
TIMED_OUT, INTERRUPTED = 124, 130

_CODES = {400: USAGE, 422: USAGE, 401: NOT_ALLOWED, 403: NOT_ALLOWED, 404: NOT_FOUND, 409: CONFLICT}


class CliError(Exception):
    """The command cannot be done; the message is one sentence for a person."""

    def __init__(self, message: str, code: int = FAILURE) -> None:
        super().__init__(message)
        self.code = code


def of_problem(status: int, body: Any) -> CliError:
    """Turn the API's answer (problem+json, or whatever came instead) into the sentence and code of a command."""
    problem = body if isinstance(body, dict) else {}
    sentence = str(problem.get("detail") or problem.get("title") or f"the API answered {status}").strip()
    faults = [_fault(entry) for entry in problem.get("errors") or [] if isinstance(entry, dict)]
    if faults:
        sentence = f"{sentence.rstrip('.')}: {'; '.join(faults)}"
    if status >= 500 and problem.get("requestId"):
        sentence = f"{sentence.rstrip('.')} (request {problem['requestId']})"
    if status == 401:
        sentence = f"{sentence.rstrip('.')}; sign in with `launchdb login`"
    return CliError(sentence, _CODES.get(status, FAILURE))


def _fault(entry: dict[str, Any]) -> str:
    name = str(entry.get("pointer", "")).strip("#/").replace("/", ".")
    return f"{name}: {entry.get('detail')}" if name else str(entry.get("detail"))

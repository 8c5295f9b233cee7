"""The platform API as the command line calls it: JSON in and out, problems as CliErrors."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from scripts.cli.errors import CONFLICT, NOT_ALLOWED, CliError, of_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

TIMEOUT_SECONDS = 90.0
PAGE = 200
# A restart of the API is shorter than these pauses together.
PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0)


class Client:
    """Calls that may be repeated are, while the API restarts."""

    def __init__(self, http: httpx.Client, *, close: Callable[[], None] | None = None) -> None:
        self._http = http
        self._close = close

    @property
    def url(self) -> str:
        """Where it calls."""
        return str(self._http.base_url).rstrip("/")

    def get(self, path: str, **params: Any) -> Any:
        """GET a document."""
        return self._call("GET", path, params={name: value for name, value in params.items() if value is not None})

    def pages(self, path: str, member: str, *, limit: int | None = None, **params: Any) -> Iterator[dict[str, Any]]:
        """Walk through a list, page by page; `limit` entries at most."""
        cursor, left = None, limit
        while left is None or left > 0:
            page = self.get(path, limit=min(PAGE, left or PAGE), cursor=cursor, **params)
            yield from page[member]
            left = None if left is None else left - len(page[member])
            cursor = page.get("nextCursor")
            if cursor is None:
                return

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST; safe to repeat, since the request bears an Idempotency-Key."""
        return self._call("POST", path, json=body or {})

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """POST what must not be repeated: whether it was done is not known when the connection breaks."""
        answer = self._send("POST", path, repeatable=False, json=body)
        if answer.is_success:
            return _body(answer)
        raise of_problem(answer.status_code, _body(answer))

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """PATCH; safe to repeat."""
        return self._call("PATCH", path, json=body)

    def delete(self, path: str, *, body: dict[str, Any] | None = None, **params: Any) -> Any:
        """DELETE; safe to repeat."""
        return self._call("DELETE", path, params=params, **({} if body is None else {"json": body}))

    def call_as(self, headers: Mapping[str, str], method: str, path: str, **more: Any) -> httpx.Response:
        """Call what is not the platform's, as whoever these headers say, and return its answer whatever it is."""
        return self._http.request(method, path, headers=headers, auth=None, **more)

    @contextmanager
    def stream_as(self, headers: Mapping[str, str], path: str) -> Iterator[httpx.Response]:
        """GET what is not the platform's, as whoever these headers say; its content is read as it comes."""
        with self._http.stream("GET", path, headers=headers, auth=None) as answer:
            yield answer

    def fetch(self, path: str, target: Path) -> None:
        """Write what a path answers into a file that only its owner may read; one that is there stays.

        Raises CliError when the file is there, the answer is a problem, or it breaks off: then no file is left.
        """
        try:
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise CliError(f"{target} is there already", CONFLICT) from None
        try:
            with os.fdopen(handle, "wb") as file, self._http.stream("GET", path) as answer:
                _refuse(answer)
                for chunk in answer.iter_bytes():
                    file.write(chunk)
        except BaseException as error:
            target.unlink(missing_ok=True)
            if isinstance(error, httpx.TransportError):
                raise CliError(f"{self.url} broke off in the middle of the file") from error
            raise

    def close(self) -> None:
        """Close the connection and whatever was opened for it."""
        self._http.close()
        if self._close is not None:
            self._close()

    def _call(self, method: str, path: str, **more: Any) -> Any:
        if method != "GET" and not path.startswith("/api/auth/"):
            more["headers"] = {"Idempotency-Key": uuid.uuid4().hex}
        answer = self._send(method, path, repeatable=method == "GET" or "headers" in more, **more)
        if answer.is_success:
            return _body(answer)
        body = _body(answer)
        # To who is no operator these paths are not there; a thing that is missing has a type of its own.
        hidden = isinstance(body, dict) and body.get("type") == "/problems/not-found"
        if answer.status_code == 404 and hidden and path.startswith("/api/admin/"):
            raise CliError("this is for operators; an operator can run `launchdb owners promote`", NOT_ALLOWED)
        raise of_problem(answer.status_code, body)

    def _send(
        self, method: str, path: str, *, repeatable: bool, params: dict[str, Any] | None = None, **more: Any
    ) -> httpx.Response:
        # Parameters given to a request would replace what the path itself asks for, even when there are none.
        url = httpx.URL(path).copy_merge_params(params or {})
        pauses = list(PAUSES_SECONDS) if repeatable else []
        while True:
            try:
                return self._http.request(method, url, **more)
            except httpx.TransportError as error:
                if not pauses:
                    raise CliError(f"the API at {self.url} cannot be reached") from error
            time.sleep(pauses.pop(0))


def _refuse(answer: httpx.Response) -> None:
    """Raise CliError when what is about to be read is a problem."""
    if not answer.is_success:
        answer.read()
        raise of_problem(answer.status_code, _body(answer))


def _body(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return {}

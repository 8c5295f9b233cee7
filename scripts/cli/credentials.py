"""The ways in which a request says who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from scripts.cli.errors import NOT_ALLOWED, CliError

if TYPE_CHECKING:
    from collections.abc import Generator

    from scripts.cli.signin import ContextFile, StoredSignIn


class BearerAuth(httpx.Auth):
    """A token as it was given."""

    def __init__(self, token: str) -> None:
        if not (token.isascii() and token.isprintable()):
            raise CliError("LAUNCHDB_TOKEN is not a token", NOT_ALLOWED)
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the token."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


class RefreshingAuth(httpx.Auth):
    """The tokens of `login`; an access token that has run out is renewed once, and remembered."""

    requires_response_body = True

    def __init__(self, url: str, file: ContextFile) -> None:
        self._url = url
        self._file = file
        self._known = file.read()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the token; after a 401, renew it and ask once more."""
        used = self._known.access_token if self._known else ""
        request.headers["Authorization"] = f"Bearer {used}"
        answer = yield request
        if answer.status_code != 401:
            return
        with self._file.locked():
            self._known = self._file.read()
            # Another command may have renewed them while we waited for the lock.
            if self._known and self._known.access_token == used and self._known.refresh_token:
                renewed = yield self._refresh(self._known)
                self._known = self._kept(self._known, renewed)
        if self._known and self._known.access_token != used:
            request.headers["Authorization"] = f"Bearer {self._known.access_token}"
            yield request

    def _refresh(self, known: StoredSignIn) -> httpx.Request:
        return httpx.Request("POST", f"{self._url}/api/auth/refresh", json={"refreshToken": known.refresh_token})

    def _kept(self, known: StoredSignIn, answer: httpx.Response) -> StoredSignIn:
        if answer.status_code != 200:
            return known
        given = answer.json()
        fresh = type(known)(known.url, known.email, given["accessToken"], given["refreshToken"])
        self._file.write(fresh)
        return fresh

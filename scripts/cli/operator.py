"""Whoever may read the home folder acts as its operator: a short-lived token, signed with the platform's own key."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx

from infra.errors import InfraError
from infra.postgres.sql import statements
from infra.secrets import secretfiles, tokens
from scripts.cli.errors import NOT_ALLOWED, CliError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from infra.composition import Infra

SQL = statements(__file__)
# What leaves this process is of use for a minute; it is signed anew before that.
LIFE_SECONDS = 60
RENEW_SECONDS = 30


class OperatorAuth(httpx.Auth):
    """Signs tokens for the operator; `world` opens the home folder's servers when the first one is needed."""

    def __init__(self, world: Callable[[], Infra]) -> None:
        self._world = world
        self._token = ""
        self._signed_at = float("-inf")

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the token. Raises CliError when there is no operator, or the home's secrets may not be read."""
        now = time.monotonic()
        if now - self._signed_at > RENEW_SECONDS:
            self._token, self._signed_at = operator_token(self._world()), now
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def operator_token(infra: Infra) -> str:
    """Return an access token of the operator. Raises CliError."""
    try:
        with infra.database.autocommit() as tx:
            owner_id = tx.value(SQL.operator)
        key = secretfiles.read(infra.settings.secrets_folder, "PLATFORM_JWT_SECRET")[0]
    except PermissionError:
        raise CliError("you may not read the secrets of this installation; use `launchdb login`", NOT_ALLOWED) from None
    except InfraError as error:
        raise CliError(
            f"nobody is signed in, and the local installation cannot say who its operator is: {error}"
        ) from error
    if owner_id is None:
        raise CliError("this installation has no operator yet; `launchdb owners promote EMAIL` makes one", NOT_ALLOWED)
    return tokens.access_token(owner_id, key, now=int(time.time()), seconds=LIFE_SECONDS)

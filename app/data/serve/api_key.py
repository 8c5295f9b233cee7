"""Who gets through to a project's data API: callers with one of its API keys, so many requests a minute."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from app.data.errors import PgrstError
from app.data.run import bearer
from infra.secrets import opaque_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.data.config import DataConfig
    from app.data.parse.request import RawRequest

WINDOW_SECONDS = 60


def authenticate_by_api_key(raw: RawRequest, config: DataConfig) -> RawRequest:
    """Return the request with its identity filled in from the API key that admits it. Raises PgrstError (401)."""
    pairs = parse_qsl(raw.query, keep_blank_values=True) if "apikey" in raw.query.lower() else []
    named = [value for name, value in pairs if name.lower() == "apikey"]
    key = raw.headers.get("apikey") or (named[0] if named else None)
    if not key:
        raise PgrstError("401", "No API key found in request", None, "Send the key as apikey header", status=401)
    _check_key(key, config)
    headers = raw.headers if names_caller(raw.headers) else {**raw.headers, "authorization": f"Bearer {key}"}
    if not named:
        return replace(raw, headers=headers)
    kept = [(name, value) for name, value in pairs if name.lower() != "apikey"]
    return replace(raw, headers=headers, query=urlencode(kept))


def names_caller(headers: Mapping[str, str]) -> bool:
    """Return whether a request says who asks, beside its API key: an opaque key as Bearer token says nothing of it."""
    given = headers.get("authorization")
    return given is not None and not opaque_keys.is_opaque_bearer(given)


def _check_key(key: str, config: DataConfig) -> None:
    try:
        bearer.identify(f"Bearer {key}", config)
    except PgrstError as fault:
        raise PgrstError(
            "401", "Invalid API key", None, "Double check your API key.", status=401, headers=fault.headers
        ) from None


def rate_limit_error(limit: int, reset_seconds: int) -> PgrstError:
    """Return the fault of a caller beyond the limit. reset_seconds: until the window ends."""
    seconds = str(reset_seconds)
    limits = {"Limit": str(limit), "Remaining": "0", "Reset": seconds}
    return PgrstError(
        "429",
        "Too many requests",
        None,
        f"The project may have {limit} requests a minute",
        status=429,
        headers=(("Retry-After", seconds), *((f"RateLimit-{name}", value) for name, value in limits.items())),
    )


class MinuteCounter:
    """Counts the requests of one project per minute of the clock, in this process, which alone serves it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._window = self._used = 0

    def count(self, limit: int) -> None:
        """Count one request. Raises PgrstError (429) beyond the limit; 0 is none."""
        if not limit:
            return
        now = int(time.time())
        with self._lock:
            if self._window != now // WINDOW_SECONDS:
                self._window, self._used = now // WINDOW_SECONDS, 0
            self._used += 1
            passed = self._used <= limit
        if not passed:
            raise rate_limit_error(limit, WINDOW_SECONDS - now % WINDOW_SECONDS)

"""What one process of Auth counts for Prometheus: by what was done, never by project or user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter

if TYPE_CHECKING:
    from collections.abc import Mapping

REFRESH = "refresh_token"


class AuthCounts:
    """Counts sign-ins, refreshes, letters and refusals, in a registry of its own or another's."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._sign_ins = Counter(
            "launchdb_auth_sign_ins", "sessions that were begun, by how", ("by",), registry=self.registry
        )
        self._refreshes = Counter("launchdb_auth_refreshes", "sessions that were refreshed", registry=self.registry)
        self._mails = Counter("launchdb_auth_mails", "letters by their kind", ("kind",), registry=self.registry)
        self._refusals = Counter(
            "launchdb_auth_refusals", "requests that were refused, by the word of the error", ("code",),
            registry=self.registry,
        )  # fmt: skip

    def answered(self, route: str, query: Mapping[str, str], body: object) -> None:
        """Count what a view has answered: a session where there was none, or one that goes on.

        route  the path of its rule
        """
        if not isinstance(body, dict) or "access_token" not in body:
            return
        grant = query.get("grant_type", "") if route == "/token" else ""
        if grant == REFRESH:
            self._refreshes.inc()
        else:
            self._sign_ins.labels(grant or route.lstrip("/")).inc()

    def refused(self, code: str) -> None:
        """Count a refusal by the word of its error."""
        self._refusals.labels(code).inc()

    def mailed(self, kind: str) -> None:
        """Count a letter that is to be sent."""
        self._mails.labels(kind).inc()

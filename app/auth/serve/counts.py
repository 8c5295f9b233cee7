"""What one process of Auth counts for Prometheus: by what was done, never by project or user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter

if TYPE_CHECKING:
    from app.auth.errors import AuthError
    from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute

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

    def answered(self, route: AuthRoute, call: AuthCall, answer: AuthAnswer) -> None:
        """Count what a view has answered: a session where there was none, or one that goes on."""
        if not isinstance(answer.body, dict) or "access_token" not in answer.body:
            return
        grant = call.query.get("grant_type", "") if route.path == "/token" else ""
        if grant == REFRESH:
            self._refreshes.inc()
        else:
            self._sign_ins.labels(grant or route.path.lstrip("/")).inc()

    def refused(self, error: AuthError) -> None:
        """Count a refusal."""
        self._refusals.labels(error.code).inc()

    def mailed(self, kind: Any) -> None:
        """Count a letter that is to be sent."""
        self._mails.labels(kind).inc()

"""How often one address may ask one project for what costs something, or what somebody could guess by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from app.auth.errors import rate_limit_error

if TYPE_CHECKING:
    from app.auth.serve.call import AuthCall

Limited = Literal["sign_in", "sign_up", "anonymous", "refresh"]


def count_request(call: AuthCall, what: Limited) -> None:
    """Count a request of this kind from the caller's address. Raises AuthError (429) when there were too many."""
    settings = call.project.settings
    per_minute = {
        "sign_in": settings.sign_in_rate_per_minute,
        "sign_up": settings.sign_up_rate_per_minute,
        "anonymous": settings.anonymous_rate_per_minute,
        "refresh": settings.refresh_rate_per_minute,
    }
    count(call, what, per_minute[what])


def count(call: AuthCall, what: str, per_minute: int, *, code: str = "over_request_rate_limit") -> None:
    """Count a request under a name of its own, by project and address. Raises AuthError (429, Retry-After)."""
    counted = call.services.limiter.count(per_minute, "auth", what, call.project.id, call.address)
    if not counted.passed:
        raise rate_limit_error(code, "Request rate limit reached", counted.reset_seconds)


def count_named(call: AuthCall, what: str, per_minute: int, name: str) -> None:
    """Count a request for somebody, whichever address it comes from. Raises AuthError (429, Retry-After)."""
    counted = call.services.limiter.count(per_minute, "auth", what, call.project.id, name)
    if not counted.passed:
        raise rate_limit_error("over_request_rate_limit", "Request rate limit reached", counted.reset_seconds)

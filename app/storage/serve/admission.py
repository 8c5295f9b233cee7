"""Who gets through to a view: by the token of the Authorization header, or by the API key that stands for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.served.claims import TokenRefused, bearer_token, verified_claims
from app.storage.serve.caller import Caller, bad_token, caller_of, no_token, nobody
from infra.secrets import opaque_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.storage.serve.call import Access
    from app.storage.serve.project import StorageProject


def admit(access: Access, project: StorageProject, headers: Mapping[str, str], clock: Callable[[], float]) -> Caller:
    """Return who asks. A parameter of the query never stands for a token here. Raises StorageError."""
    if access == "open":
        return nobody(project.spec.roles)
    token, key = bearer_token(headers.get("Authorization")), headers.get("apikey")
    # An opaque key is no token of a user's: whatever one is sent as such, the one that admits counts.
    if key and opaque_keys.is_opaque(token or key):
        token = key
    token = token or key
    if not token:
        if access == "token" and not headers.get("Authorization"):
            raise no_token()
        if headers.get("Authorization"):
            raise bad_token("the Authorization header holds no token")
        return nobody(project.spec.roles)
    try:
        claims = verified_claims(token, project.spec.jwt_secret, project.spec.api_keys, clock())
    except TokenRefused as error:
        raise bad_token(str(error)) from error
    return caller_of(claims, project.spec.roles)

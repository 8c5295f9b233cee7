"""Who signed a request: an access key of the project's, or a user by their session token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.served.claims import TokenRefused, verified_claims
from app.storage.s3 import errors
from app.storage.s3.sigv4.expected import ExpectedSigner
from app.storage.serve.caller import SERVICE, Caller, caller_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.storage.s3.sigv4.expected import SignedRequest
    from app.storage.s3.sigv4.stated import StatedSignature
    from app.storage.serve.project import StorageProject

SKEW_SECONDS = 15 * 60
SIGNED_PREFIX = "x-amz-"


def signed_by(
    project: StorageProject,
    stated: StatedSignature,
    request: SignedRequest,
    clock: Callable[[], float],
) -> tuple[Caller, ExpectedSigner]:
    """Return who signed a request, and what goes on signing its body. Raises StorageError."""
    check_time(stated, clock())
    check_headers(stated, request.headers)
    for secret in _secrets(project, stated):
        signer = ExpectedSigner(stated, secret)
        if signer.has_signed(request):
            return _caller(project, stated, clock), signer
    raise errors.signature_mismatch()


def check_time(stated: StatedSignature, now: float) -> None:
    """Raise StorageError when a signature is of another time."""
    if stated.expires is not None:
        if now > stated.at + stated.expires:
            raise errors.access_denied("Request has expired")
        if stated.at > now + SKEW_SECONDS:
            raise errors.access_denied("Request is not valid yet")
    elif abs(now - stated.at) > SKEW_SECONDS:
        raise errors.refusal(
            "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", 403
        )


def check_headers(stated: StatedSignature, headers: Mapping[str, str]) -> None:
    """Raise StorageError when a header of S3's own is not signed: somebody may have added it on the way."""
    own = {name.lower() for name, _ in headers.items() if name.lower().startswith(SIGNED_PREFIX)}
    # It is signed by its place at the end of what is signed.
    unsigned = own - set(stated.headers) - {"x-amz-content-sha256"}
    if unsigned:
        raise errors.access_denied(
            f"There were headers present in the request which were not signed: {', '.join(sorted(unsigned))[:200]}"
        )


def _secrets(project: StorageProject, stated: StatedSignature) -> list[str]:
    """Return what a signature may have been made with. Raises StorageError."""
    if stated.token is not None:
        if stated.access_key != project.id:
            raise errors.refusal("InvalidAccessKeyId", _UNKNOWN, 403)
        return project.spec.session_keys
    secret = project.spec.access_keys.get(stated.access_key)
    if secret is None:
        raise errors.refusal("InvalidAccessKeyId", _UNKNOWN, 403)
    return [secret]


def _caller(project: StorageProject, stated: StatedSignature, clock: Callable[[], float]) -> Caller:
    spec = project.spec
    if stated.token is None:
        return Caller(SERVICE, spec.roles[SERVICE], {"role": SERVICE}, is_known=True)
    try:
        claims = verified_claims(stated.token, spec.jwt_secret, spec.api_keys, clock())
    except TokenRefused as error:
        if "expired" in str(error).lower():
            raise errors.refusal("ExpiredToken", "The provided token has expired.") from error
        raise errors.refusal(
            "InvalidToken", f"The provided token is malformed or otherwise invalid: {error}"
        ) from error
    return caller_of(claims, spec.roles)


_UNKNOWN = "The AWS Access Key Id you provided does not exist in our records."

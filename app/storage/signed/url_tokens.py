"""The tokens in signed URLs: for one path, one purpose and some time. Their keys sign nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from app.storage.errors import StorageError
from infra.secrets import tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.storage.serve.project import StorageProject

Scope = Literal["download", "upload"]
TOKEN_BYTES_MAX = 8192
# The claim that says what is to become of a picture.
TRANSFORMATION = "transformations"


def sign(project: StorageProject, url: str, scope: Scope, *, now: int, seconds: int, **more: Any) -> str:
    """Return a token for a path (bucket/key). more: what else it says, such as whose the upload is."""
    # A token of another project's does not verify here, even if a key should be shared by mistake.
    claims = {"url": url, "scope": scope, "iat": now, "exp": now + seconds, "aud": f"storage:{project.id}", **more}
    return tokens.sign_token(claims, project.spec.url_keys[0])


def verify(project: StorageProject, given: Sequence[str], url: str, scope: Scope, now: float) -> dict[str, Any]:
    """Return the claims of the one token that was given, if it is for this path and purpose. Raises StorageError."""
    if len(given) != 1 or not given[0]:
        raise _refused("InvalidJWT", "Invalid token: there has to be one")
    claims = _claims(project, given[0])
    ends = claims.get("exp")
    if isinstance(ends, bool) or not isinstance(ends, int | float) or now >= ends:
        raise _refused("ExpiredToken" if _is_number(ends) else "InvalidJWT", '"exp" claim timestamp check failed')
    if claims.get("aud") != f"storage:{project.id}" or _scope(claims) != scope or claims.get("url") != url:
        raise wrong_purpose()
    return claims


def wrong_purpose() -> StorageError:
    """Return the refusal of a token that is for something else."""
    return _refused("InvalidSignature", "Invalid signature")


def _claims(project: StorageProject, token: str) -> dict[str, Any]:
    keys = tokens.verification_keys(tokens.key_set([(key, float(2**53)) for key in project.spec.url_keys]))
    try:
        if len(token) > TOKEN_BYTES_MAX:
            raise _refused("InvalidJWT", "Invalid token: it is too long")
        claims = json.loads(tokens.signed_claims(token, keys)[0])
    except tokens.SignatureRefused as error:
        raise _refused("InvalidJWT", "signature verification failed") from error
    except ValueError as error:
        raise _refused("InvalidJWT", "Invalid token") from error
    if not isinstance(claims, dict):
        raise _refused("InvalidJWT", "Invalid token")
    return claims


def _scope(claims: Mapping[str, Any]) -> object:
    """Return what a token is for; those of before there were scopes are told by what they hold."""
    return claims.get("scope") or ("upload" if "upsert" in claims else "download")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refused(word: str, message: str) -> StorageError:
    return StorageError(400, word, word, message)

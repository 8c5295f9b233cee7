"""What a request says of its signature, in the Authorization header or in the query of a presigned URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from app.storage.s3 import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.storage.errors import StorageError

    _Malformed = Callable[[str], StorageError]

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE, TERMINATOR, UNSIGNED = "s3", "aws4_request", "UNSIGNED-PAYLOAD"
MOMENT_FORMAT = "%Y%m%dT%H%M%SZ"
EXPIRES_MAX = 7 * 24 * 3600
_CREDENTIAL = re.compile(r"([^/]{1,128})/(\d{8})/([^/]{1,64})/([^/]{1,32})/([^/]{1,32})", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_NAMES = re.compile(r"[a-z0-9-]+(?:;[a-z0-9-]+)*")


@dataclass(frozen=True)
class StatedSignature:
    """A signature as it is stated; nothing of it is proven yet.

    moment   when it was made, as it is signed; `at` in seconds of the epoch
    headers  the names of the headers that are signed, in small letters
    payload  what is signed of the body: its SHA-256, or how it is signed itself
    token    the session token, or None
    expires  for so many seconds a presigned URL is good; None: it is signed by header
    """

    access_key: str
    date: str
    region: str
    moment: str
    at: float
    headers: tuple[str, ...]
    signature: str
    payload: str
    token: str | None
    expires: int | None

    @property
    def scope(self) -> str:
        """What it is good for, as it is signed."""
        return f"{self.date}/{self.region}/{SERVICE}/{TERMINATOR}"


def signature_of(headers: Mapping[str, str], query: Mapping[str, Sequence[str]]) -> StatedSignature:
    """Return the signature that a request states. Raises StorageError for one that states none, or several."""
    authorization = headers.get("Authorization")
    in_query = [name for name in ("X-Amz-Algorithm", "X-Amz-Signature", "X-Amz-Credential") if name in query]
    if authorization is not None and in_query:
        raise errors.refusal("InvalidArgument", "Only one auth mechanism allowed")
    if in_query:
        return _of_query(headers, query)
    if authorization is None:
        if "AWSAccessKeyId" in query:
            raise _other_mechanism()
        raise errors.access_denied()
    return _of_header(headers, authorization)


def _of_header(headers: Mapping[str, str], authorization: str) -> StatedSignature:
    algorithm, _, rest = authorization.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise _other_mechanism()
    stated = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    payload = headers.get("X-Amz-Content-Sha256")
    if payload is None:
        raise errors.refusal("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    found = headers.get("X-Amz-Date") or headers.get("Date")
    if not found:
        raise errors.access_denied("AWS authentication requires a valid Date or x-amz-date header")
    return _checked(
        credential=stated.get("Credential", ""),
        moment=found,
        names=stated.get("SignedHeaders", ""),
        signature=stated.get("Signature", ""),
        payload=payload,
        token=headers.get("X-Amz-Security-Token"),
        expires=None,
        malformed=_malformed_header,
    )


def _of_query(headers: Mapping[str, str], query: Mapping[str, Sequence[str]]) -> StatedSignature:
    def only(name: str) -> str:
        found = query.get(f"X-Amz-{name}", ())
        if len(found) != 1:
            raise _malformed_query(f"Query-string authentication requires one X-Amz-{name} parameter")
        return found[0]

    if only("Algorithm") != ALGORITHM:
        raise _malformed_query(f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    expires = only("Expires")
    if not (expires.isascii() and expires.isdigit() and len(expires) < 12 and 0 < int(expires) <= EXPIRES_MAX):
        raise _malformed_query("X-Amz-Expires must be between 1 and 604800 seconds")
    return _checked(
        credential=only("Credential"),
        moment=only("Date"),
        names=only("SignedHeaders"),
        signature=only("Signature"),
        payload=headers.get("X-Amz-Content-Sha256") or next(iter(query.get("X-Amz-Content-Sha256", ())), UNSIGNED),
        token=only("Security-Token") if "X-Amz-Security-Token" in query else None,
        expires=int(expires),
        malformed=_malformed_query,
    )


def _checked(  # noqa: PLR0913 - one argument for each part
    *,
    credential: str,
    moment: str,
    names: str,
    signature: str,
    payload: str,
    token: str | None,
    expires: int | None,
    malformed: _Malformed,
) -> StatedSignature:
    scope = _CREDENTIAL.fullmatch(credential)
    if scope is None:
        raise malformed('the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request"')
    if (scope[4], scope[5]) != (SERVICE, TERMINATOR):
        raise malformed(f'the Credential is mal-formed; it has to end in "/{SERVICE}/{TERMINATOR}"')
    made, at = _moment(moment)
    if not made.startswith(scope[2]):
        raise malformed("Invalid credential date. The date in the Credential is not that of the request")
    if not _NAMES.fullmatch(names) or "host" not in names.split(";"):
        raise malformed("the SignedHeaders are mal-formed; the host has to be among them")
    if not _SIGNATURE.fullmatch(signature):
        raise malformed("the Signature is mal-formed")
    return StatedSignature(
        access_key=scope[1],
        date=scope[2],
        region=scope[3],
        moment=made,
        at=at,
        headers=tuple(names.split(";")),
        signature=signature,
        payload=payload,
        token=token,
        expires=expires,
    )


def _moment(stated: str) -> tuple[str, float]:
    try:
        try:
            found = datetime.strptime(stated, MOMENT_FORMAT).replace(tzinfo=UTC)
        except ValueError:
            found = parsedate_to_datetime(stated).astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise errors.access_denied("AWS authentication requires a valid Date or x-amz-date header") from error
    return found.strftime(MOMENT_FORMAT), found.timestamp()


def _malformed_header(why: str) -> StorageError:
    return errors.refusal("AuthorizationHeaderMalformed", f"The authorization header is malformed; {why}")


def _malformed_query(why: str) -> StorageError:
    return errors.refusal("AuthorizationQueryParametersError", why)


def _other_mechanism() -> StorageError:
    return errors.refusal(
        "InvalidRequest",
        f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}.",
    )

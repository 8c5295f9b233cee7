"""The signatures that a request, and each part of its body, should bear: computed by the clients' own library."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, HTTPHeaders
from botocore.credentials import Credentials

from app.storage.s3.sigv4.stated import SERVICE, StatedSignature

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

IN_QUERY = "X-Amz-Signature"


@dataclass(frozen=True)
class SignedRequest:
    """What of a request is signed: path and query decoded, as they mean something to us. headers: as they came.

    endpoint  the beginning of the path that clients are given as the protocol's address
    """

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    endpoint: str

    def readings(self) -> Iterator[tuple[str, str]]:
        """Return the host and path by which clients may have signed it, the usual ones first.

        s3cmd takes an address with a path for the name of a host. Both say the same of where the request goes.
        """
        host = self.headers.get("Host", "")
        yield host, self.path
        yield host + self.endpoint, self.path.removeprefix(self.endpoint) or "/"


class ExpectedSigner(SigV4Auth):  # type: ignore[misc]
    """Signs what a client says that it has signed: these headers, this path, this moment, and nothing else."""

    def __init__(self, stated: StatedSignature, secret: str) -> None:
        super().__init__(Credentials(stated.access_key, secret), SERVICE, stated.region)
        self._stated = stated

    def has_signed(self, request: SignedRequest) -> bool:
        """Return whether the signature is that of the request."""
        return any(
            is_equal(self._stated.signature, self._of_request(request, *reading)) for reading in request.readings()
        )

    def _of_request(self, request: SignedRequest, host: str, path: str) -> str:
        stated, signed = self._stated, HTTPHeaders()
        for name in stated.headers:
            signed[name] = _as_sent(host if name == "host" else request.headers.get(name, ""))
        asked = AWSRequest(
            request.method,
            "http://host" + quote(path, safe="/~"),
            # Read from there, whether it is among those that are signed or not.
            headers={"X-Amz-Content-SHA256": stated.payload},
            params=[
                (name, value) for name, all_of_it in request.query.items() for value in all_of_it if name != IN_QUERY
            ],
        )
        asked.context.update(timestamp=stated.moment, signed=signed)
        return self._of(self.string_to_sign(asked, self.canonical_request(asked)))

    def of_text(self, kind: str, *lines: str) -> str:
        """Return the signature of a part of a body. kind: as it is said after the algorithm, such as `PAYLOAD`."""
        return self._of("\n".join((f"AWS4-HMAC-SHA256-{kind}", self._stated.moment, self._stated.scope, *lines)))

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        """Return the headers that the client has signed: whatever their names are."""
        return request.context["signed"]

    def _normalize_url_path(self, path: str) -> str:
        return path  # S3 alone takes each path as it is

    def _of(self, text: str) -> str:
        request = AWSRequest()
        request.context["timestamp"] = self._stated.moment
        return str(self.signature(text, request))


def is_equal(one: str, other: str) -> bool:
    """Return whether two signatures are the same, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def _as_sent(value: str) -> str:
    """Return a header's bytes as the text they are: WSGI takes each for a character."""
    return value.encode("latin-1", "replace").decode("utf-8", "replace")

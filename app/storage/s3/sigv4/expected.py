"""The signatures that a request, and each part of its body, should bear: computed by the clients' own library."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING
from urllib.parse import quote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, HTTPHeaders
from botocore.credentials import Credentials

from app.storage.s3.sigv4.stated import SERVICE, StatedSignature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME_IN_QUERY = "X-Amz-Signature"


class ExpectedSigner(SigV4Auth):  # type: ignore[misc]
    """Signs what a client says that it has signed: these headers, this path, this moment, and nothing else."""

    def __init__(self, stated: StatedSignature, secret: str) -> None:
        super().__init__(Credentials(stated.access_key, secret), SERVICE, stated.region)
        self._stated = stated

    def of_request(self, method: str, path: str, query: Mapping[str, Sequence[str]], headers: Mapping[str, str]) -> str:
        """Return a request's signature. path, query: decoded, as they mean something to us."""
        stated = self._stated
        pairs = [(name, value) for name, values in query.items() for value in values if name != NAME_IN_QUERY]
        request = AWSRequest(method, "http://host" + quote(path, safe="/~"), params=pairs)
        for name in stated.headers:
            request.headers[name] = _as_sent(headers.get(name, ""))
        # Read from there, whether it is among those that are signed or not.
        asked = AWSRequest(method, request.url, headers={"X-Amz-Content-SHA256": stated.payload}, params=pairs)
        asked.context.update(timestamp=stated.moment, signed=request.headers)
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

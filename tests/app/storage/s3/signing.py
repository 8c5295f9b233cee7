"""A client that signs by the book's words and nobody's library, so that it can also sign what no library would send."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import time
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

EMPTY = hashlib.sha256().hexdigest()


@dataclass(frozen=True)
class Answer:
    """What a server has answered."""

    status_code: int
    headers: dict[str, str]
    text: str


class HandSigner:
    """Signs requests with an access key; each part of what is signed can be another than what is sent."""

    def __init__(self, url, key, secret, region="us-east-1") -> None:
        self.url, self.key, self.secret, self.region = url, key, secret, region
        self.moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())

    @property
    def scope(self) -> str:
        return f"{self.moment[:8]}/{self.region}/s3/aws4_request"

    def sign(self, text) -> str:
        made = f"AWS4{self.secret}".encode()
        for part in (*self.scope.split("/"), text):
            made = hmac.digest(made, part.encode(), "sha256")
        return made.hex()

    def headers(self, method, path, payload, query="", more=None) -> dict[str, str]:
        """Return the headers of a request. path: encoded, behind the address; query: sorted and encoded."""
        address = urlsplit(self.url)
        sent = {"host": address.netloc, "x-amz-content-sha256": payload, "x-amz-date": self.moment, **(more or {})}
        names = ";".join(sorted(sent))
        lines = "".join(f"{name}:{sent[name]}\n" for name in sorted(sent))
        canonical = "\n".join((method, address.path + path, query, lines, names, payload))
        text = "\n".join(("AWS4-HMAC-SHA256", self.moment, self.scope, hashlib.sha256(canonical.encode()).hexdigest()))
        self.seed = self.sign(text)
        sent["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.key}/{self.scope}, SignedHeaders={names}, Signature={self.seed}"
        )
        return sent

    def ask(self, method, path, content=b"", *, payload=None, query="", more=None, raw_query=None) -> Answer:
        """Send a request that is signed."""
        payload = payload or hashlib.sha256(content).hexdigest()
        headers = self.headers(method, path, payload, query, more)
        asked = query if raw_query is None else raw_query
        return self.send(method, f"{path}?{asked}".rstrip("?"), content, headers)

    def send(self, method, target, content, headers) -> Answer:
        """Send a request as it is: no library makes another path of it."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.netloc, timeout=30)
        try:
            connection.request(method, address.path + target, body=content, headers=headers)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read().decode())
        finally:
            connection.close()

    def chunks(self, *parts, trailer=None, signed=True, last=b"", spoil=None) -> bytes:
        """Return a body in chunks behind the request that was signed last. spoil: the number of a chunk to spoil."""
        body, before = b"", self.seed
        for number, part in enumerate((*parts, b"")):
            line = f"{len(part):x}"
            if signed:
                text = ("AWS4-HMAC-SHA256-PAYLOAD", self.moment, self.scope, before, EMPTY)
                before = self.sign("\n".join((*text, hashlib.sha256(part).hexdigest())))
                line += f";chunk-signature={before}"
            sent = bytes([part[0] ^ 1]) + part[1:] if number == spoil else part
            body += line.encode() + b"\r\n" + sent + (b"\r\n" if part else b"")
        if trailer is not None:
            body += trailer.encode() + b"\r\n"
            if signed:
                text = ("AWS4-HMAC-SHA256-TRAILER", self.moment, self.scope, before)
                made = self.sign("\n".join((*text, hashlib.sha256(f"{trailer}\n".encode()).hexdigest())))
                body += f"x-amz-trailer-signature:{made}\r\n".encode()
        return body + b"\r\n" + last


def encoded(key) -> str:
    """Return a key as it stands in a URL."""
    return quote(key, safe="/~")

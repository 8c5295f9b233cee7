"""What certificate a site really shows: its issuer, its name and how long it is good."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from infra.errors import Unavailable

ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Certificate:
    """A certificate as it is shown. names: those it is for; trusted: by the authorities that this machine knows."""

    issuer: str
    subject: str
    names: tuple[str, ...]
    not_after: datetime
    trusted: bool

    @property
    def seconds_left(self) -> float:
        """How long it is good; negative once it is not."""
        return (self.not_after - datetime.now(UTC)).total_seconds()

    def is_for(self, name: str) -> bool:
        """Return whether a client that asks for this name may take it."""
        parent = name.partition(".")[2]
        return any(known.lower() in (name.lower(), f"*.{parent}".lower()) for known in self.names)


def fetch_certificate(host: str, port: int, name: str) -> Certificate:
    """Return the certificate that a server shows to who asks for `name`. Raises Unavailable."""
    found = _handshake(host, port, name, verified=False)
    if found is None:
        raise Unavailable(f"no TLS handshake with {host}:{port} for {name}")
    certificate = x509.load_der_x509_certificate(found)
    try:
        listed = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(map(str, listed.get_values_for_type(x509.DNSName)))
        names += tuple(map(str, listed.get_values_for_type(x509.IPAddress)))
    except x509.ExtensionNotFound:
        names = ()
    return Certificate(
        issuer=certificate.issuer.rfc4514_string(),
        subject=certificate.subject.rfc4514_string() or (f"CN={names[0]}" if names else ""),
        names=names,
        not_after=certificate.not_valid_after_utc,
        trusted=_handshake(host, port, name, verified=True) is not None,
    )


def _handshake(host: str, port: int, name: str, *, verified: bool) -> bytes | None:
    context = ssl.create_default_context()
    if not verified:
        # The certificate is looked at, and nothing is sent.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=ANSWER_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            return secured.getpeercert(binary_form=True)
    except OSError:
        return None

"""An authenticator (WebAuthn) in software: it has a key, knows its user, and signs what a page of its origin asks."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import struct

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Authenticator:
    """One key pair, as if it were bound to one domain; every part of what it says can be made wrong."""

    def __init__(self, domain="site.example.com", origin="https://site.example.com", *, verifies=True):
        self.domain, self.origin, self.verifies = domain, origin, verifies
        self.key, self.id, self.count, self.handle = (
            ec.generate_private_key(ec.SECP256R1()),
            secrets.token_bytes(32),
            0,
            None,
        )

    def create(self, options, **wrong):
        """Answer the options of a registration."""
        self.handle = base64.urlsafe_b64decode(options["user"]["id"] + "==")
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + struct.pack(">H", len(self.id)) + self.id + cbor2.dumps(cose)
        data = self._data(ATTESTED) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        response = {"attestationObject": b64(attestation), "transports": ["internal"]}
        return self._answer("webauthn.create", options, response, wrong)

    def get(self, options, **wrong):
        """Answer the options of a sign-in or of a challenge."""
        self.count += 1
        data = self._data(0)
        client = self._client("webauthn.get", options, wrong)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {
            "authenticatorData": b64(data),
            "signature": b64(signature),
            "userHandle": self.handle and b64(self.handle),
        }
        return self._answer("webauthn.get", options, response, wrong)

    def _data(self, more):
        flags = PRESENT | (VERIFIED if self.verifies else 0) | more
        return hashlib.sha256(self.domain.encode()).digest() + bytes([flags]) + struct.pack(">I", self.count)

    def _client(self, kind, options, wrong):
        said = {"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": False}
        return json.dumps({**said, **wrong}).encode()

    def _answer(self, kind, options, response, wrong):
        response = {**response, "clientDataJSON": b64(self._client(kind, options, wrong))}
        return {
            "id": b64(self.id), "rawId": b64(self.id), "type": "public-key", "response": response,
            "clientExtensionResults": {}, "authenticatorAttachment": "platform",
        }  # fmt: skip

"""What this Auth has not is refused as where the reference has it switched off, which clients know."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "message"),
    [
        ("/sso", {"domain": "example.com"}, 404, "saml_provider_disabled", "SAML 2.0 is disabled"),
        (
            "/token?grant_type=web3", {"chain": "ethereum", "message": "x", "signature": "y"},
            422, "web3_provider_disabled", "Web3 provider is disabled",
        ),
        (
            "/verify", {"phone": "12-invalid", "token": "123456", "type": "sms"},
            400, "validation_failed", "Invalid phone number format (E.164 required)",
        ),
    ],
)  # fmt: skip
def test_single_sign_on_wallets_and_numbers_are_refused_in_the_references_words(
    auth, path, body, status, code, message
):
    answer = auth.call("POST", path, body)
    assert (answer.status_code, answer.json) == (status, {"code": code, "message": message})

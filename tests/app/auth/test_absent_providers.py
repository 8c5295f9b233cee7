"""What this Auth has not is refused as where the reference has it switched off, which clients know."""

from __future__ import annotations

import pytest

from tests.app.auth.people import joined


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


NOBODY = "9c1f5c3e-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "/admin/users/<id>", None, "user_not_found"),
        ("PUT", "/admin/users/<id>", {"user_metadata": {"a": 1}}, "user_not_found"),
        ("GET", "/admin/users/<id>/factors", None, "user_not_found"),
        ("DELETE", f"/admin/users/<id>/factors/{NOBODY}", None, "user_not_found"),
        ("DELETE", "/admin/users/<id>", {}, "user_not_found"),
        ("GET", f"/admin/oauth/clients/{NOBODY}", None, "feature_disabled"),
        ("PUT", f"/admin/oauth/clients/{NOBODY}", {"client_name": "x"}, "feature_disabled"),
        ("DELETE", f"/admin/oauth/clients/{NOBODY}", None, "feature_disabled"),
        ("POST", f"/admin/oauth/clients/{NOBODY}/regenerate_secret", {}, "feature_disabled"),
        ("GET", f"/oauth/authorizations/{NOBODY}", None, "feature_disabled"),
        ("POST", f"/oauth/authorizations/{NOBODY}/consent", {"action": "approve"}, "feature_disabled"),
        ("PATCH", f"/passkeys/{NOBODY}", {"friendly_name": "x"}, "validation_failed"),
    ],
)
def test_what_the_clients_own_tests_take_any_refusal_for_is_refused_for_its_reason(auth, method, path, body, code):
    """With a 404, as the reference does. The same of somebody who is there is no 404, or one for another reason."""
    auth.configure(passkeys=True, site_url="https://site.example.com")
    person = joined(auth)

    def ask(who):
        bearer = person.token if path.startswith(("/passkeys", "/oauth")) else None
        return auth.call(
            method, path.replace("<id>", who), body, bearer=bearer, role="anon" if bearer else "service_role"
        )

    refused = ask(NOBODY)
    assert (refused.status_code, refused.json["code"]) == (404, code)
    if "<id>" in path:
        found = ask(person.id)
        assert found.status_code == 200 or found.json["code"] == "mfa_factor_not_found", found.text

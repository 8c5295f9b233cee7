"""Sign-in by an ID token that an app got from the provider by itself."""

from __future__ import annotations

import secrets
import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from tests.app.auth.conftest import PASSWORD
from tests.app.auth.oauth.conftest import CLIENT, SECRET, with_provider

pytestmark = pytest.mark.node


def login():
    name = secrets.token_hex(5)
    return f"{name}|{name}@example.com|verified", f"{name}@example.com"


def got_from_provider(browser, who, nonce):
    """Do what an app's own library does; return the provider's answer."""
    verifier = secrets.token_urlsafe(40)
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "client_id": CLIENT,
        "redirect_uri": browser.callback,
        "response_type": "code",
        "scope": "openid email",
        "state": "x",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **({"nonce": sha256(nonce.encode()).hexdigest()} if nonce else {}),
    }
    back = browser.elsewhere(f"{browser.issuer}/auth?{urlencode(asked)}", who)
    code = dict(parse_qsl(urlsplit(back.url).query))["code"]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": browser.callback,
        "code_verifier": verifier,
    }
    answer = httpx.post(f"{browser.issuer}/token", data=form, auth=(quote(CLIENT), quote(SECRET, safe="")))
    assert answer.status_code == 200, answer.text
    return answer.json()


def made(browser, *, key=None, header=None, without=(), **claims):
    """Return an ID token with the provider's key, of a person with a verified address."""
    now = int(time.time())
    who, email = login()
    said = {
        "iss": browser.issuer,
        "aud": CLIENT,
        "sub": who,
        "email": email,
        "email_verified": True,
        "iat": now,
        "exp": now + 600,
        **claims,
    }
    said = {name: value for name, value in said.items() if name not in without}
    return jwt.encode(header or {"alg": "RS256", "kid": "one"}, said, key or browser.auth.provider_keys.keys[0])


def trade(auth, token, **more):
    return auth.call("POST", "/token?grant_type=id_token", {"provider": "keycloak", "id_token": token, **more})


def test_an_id_token_of_the_provider_signs_in(browser, auth):
    who, _ = login()
    nonce = secrets.token_urlsafe(12)
    got = got_from_provider(browser, who, nonce)
    answer = trade(auth, got["id_token"], nonce=nonce, access_token=got["access_token"])
    assert answer.status_code == 500, "this provider's tokens hold no address, and one is needed"
    with_optional(browser)
    answer = trade(auth, got["id_token"], nonce=nonce, access_token=got["access_token"])
    assert answer.status_code == 200, answer.text
    assert answer.json["user"]["identities"][0]["id"] == who
    assert trade(auth, got["id_token"], nonce="another").json.get("message") == "Nonces mismatch", (
        "An ID token counts for the nonce that its app has"
    )
    assert "either both exist or not" in trade(auth, got["id_token"]).json["message"]
    assert trade(auth, got["id_token"], nonce=nonce, access_token="another").status_code == 400


def with_optional(browser, **more):
    configured = with_provider(browser.issuer, emailOptional=True, **more)
    browser.auth.configure(**configured, spec={"secrets": {"oauth_secret_keycloak": SECRET}})


def test_the_address_in_it_is_the_users(browser, auth):
    token = made(browser)
    answer = trade(auth, token)
    assert answer.status_code == 200, answer.text
    user = answer.json["user"]
    assert user["email_confirmed_at"]
    assert trade(auth, token).json["user"]["id"] == user["id"]
    by_issuer = {"issuer": browser.issuer, "client_id": CLIENT, "id_token": token}
    assert auth.call("POST", "/token?grant_type=id_token", by_issuer).json["user"]["id"] == user["id"]


OTHER = RSAKey.generate_key(2048, {"kid": "one"}, auto_kid=False)
PAST = int(time.time()) - 7200
BAD = {
    "for another client": {"aud": "another-shop"},
    "for nobody": {"without": ("aud",)},
    "by another issuer": {"iss": "https://accounts.google.com"},
    "by nobody": {"without": ("iss",)},
    "of the past": {"iat": PAST, "exp": PAST + 600},
    "of the future": {"iat": PAST + 100_000, "nbf": PAST + 100_000},
    "without an end": {"without": ("exp",)},
    "of nobody": {"without": ("sub",)},
    "of an empty name": {"sub": ""},
    "signed by another key": {"key": OTHER},
    "by an unknown key": {"header": {"alg": "RS256", "kid": "two"}, "key": OTHER},
    "signed with our secret": {"header": {"alg": "HS256"}, "key": OctKey.import_key(SECRET)},
    "of a weak algorithm": {"header": {"alg": "none"}},
}


@pytest.mark.parametrize("why", BAD)
def test_a_token_that_is_not_the_providers_or_not_for_us_is_refused(browser, auth, why):
    how = dict(BAD[why])
    if how.get("header", {}).get("alg") == "none":
        _, body, _ = made(browser).split(".")
        none = urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
        answer = trade(auth, f"{none}.{body}.")
    else:
        answer = trade(auth, made(browser, **how))
    assert (answer.status_code, answer.json.get("code")) == (400, "validation_failed"), (
        "An ID token counts for its own audience, signed by its provider"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"provider": "keycloak"}, "id_token required"),
        ({"id_token": "x"}, "provider or client_id and issuer required"),
        ({"id_token": "x", "issuer": "https://nobody.example"}, "provider or client_id and issuer required"),
        ({"id_token": "x", "provider": "google"}, "Unsupported provider: provider is not enabled"),
        ({"id_token": "x", "provider": "keycloak"}, "Bad ID token"),
        ({"id_token": "x" * 20_000, "provider": "keycloak"}, "too long"),
    ],
)
def test_what_cannot_be_used_is_refused(browser, auth, body, message):
    answer = auth.call("POST", "/token?grant_type=id_token", body)
    assert (answer.status_code, answer.json["code"]) == (400, "validation_failed")
    assert message in answer.json["message"]


def test_tokens_for_further_clients_of_the_project_are_taken(browser, auth):
    assert trade(auth, made(browser, aud="the-app")).status_code == 400
    with_optional(browser, clientIds=["the-app"])
    assert trade(auth, made(browser, aud="the-app", azp="whatever")).status_code == 200


def test_a_nonce_that_no_app_can_tell_is_left_aside_where_that_is_set(browser, auth):
    token = made(browser, nonce="x")
    assert trade(auth, token).status_code == 400
    with_optional(browser, skipNonceCheck=True)
    assert trade(auth, token).status_code == 200


def test_a_user_adds_the_account_of_an_id_token(browser, auth, email):
    auth.configure(
        **with_provider(browser.issuer), manual_linking=True, spec={"secrets": {"oauth_secret_keycloak": SECRET}}
    )
    session = auth.call("POST", "/signup", {"email": email, "password": PASSWORD}).json
    body = {"provider": "keycloak", "id_token": made(browser), "link_identity": True}
    answer = auth.call("POST", "/token?grant_type=id_token", body, bearer=session["access_token"])
    assert answer.status_code == 200, answer.text
    assert answer.json["user"]["id"] == session["user"]["id"]
    assert [each["provider"] for each in answer.json["user"]["identities"]] == ["email", "keycloak"]
    assert auth.call("POST", "/token?grant_type=id_token", body).status_code == 403, "the key alone names nobody"

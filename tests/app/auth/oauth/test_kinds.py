"""Providers that go their own way: Apple's form and signed secret, and those that tell who somebody is by an API."""

from __future__ import annotations

import secrets
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.auth.oauth.accounts import account_of_claims, account_of_github
from app.auth.oauth.kinds import KINDS, ProjectProvider
from catalog.settings_auth import OAuthProvider
from tests.app.auth.oauth.conftest import APP, CLIENT, SECRET, Browser, place, run_provider, with_provider

pytestmark = pytest.mark.node
TEAM, KEY_ID = "TEAM123456", "KEY7890123"


def login():
    name = secrets.token_hex(5)
    return f"{name}|{name}@example.com|verified", f"{name}@example.com"


def pem_of(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def test_apple_is_shown_a_signed_secret_and_sends_a_form(auth, world, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    apple = {"pem": public.decode(), "team": TEAM, "kid": KEY_ID, "client": CLIENT}
    client = {"token_endpoint_auth_method": "client_secret_post"}
    more = {"clientAuthMethods": ["client_secret_post"], "conform": False}
    with run_provider(world, tmp_path, client=client, appleKey=apple, **more) as issuer:
        configured = with_provider(issuer, "apple", teamId=TEAM, keyId=KEY_ID)
        auth.configure(**configured, spec={"secrets": {"oauth_secret_apple": pem_of(key)}})
        browser = Browser(auth, issuer)
        url = browser.leave("apple", redirect_to=APP).headers["Location"]
        assert dict(parse_qsl(urlsplit(url).query))["response_mode"] == "form_post"
        who, email = login()
        back = browser.elsewhere(url, who)
        assert set(back.form) >= {"code", "state"}
        back.form["user"] = '{"name": {"firstName": "Ann", "lastName": "Ash"}, "email": "nobody@example.com"}'
        token = place(browser.come_back(back))[2]["access_token"]
        user = auth.call("GET", "/user", bearer=token).json
        assert user["email"] == email, "of the form only the name is believed"
        auth.configure(
            **configured, spec={"secrets": {"oauth_secret_apple": pem_of(ec.generate_private_key(ec.SECP256R1()))}}
        )
        assert browser.sign_in(login()[0], "apple")[1]["error_code"] == "bad_oauth_callback"
        auth.configure(**configured, spec={"secrets": {"oauth_secret_apple": "no key"}})
        assert browser.sign_in(login()[0], "apple")[1]["error_code"] == "unexpected_failure"


def test_gitlab_says_by_its_api_who_somebody_is(auth, world, tmp_path):
    routes = {"authorization": "/oauth/authorize", "token": "/oauth/token", "userinfo": "/api/v4/user"}
    client = {"token_endpoint_auth_method": "client_secret_post"}
    with run_provider(world, tmp_path, client=client, routes=routes, api="gitlab") as issuer:
        auth.configure(
            **with_provider(issuer, "gitlab", scopes="openid email"), spec={"secrets": {"oauth_secret_gitlab": SECRET}}
        )
        browser = Browser(auth, issuer)
        who, email = login()
        token = browser.sign_in(who, "gitlab")[2]["access_token"]
        user = auth.call("GET", "/user", bearer=token).json
        assert user["email"] == email
        (identity,) = user["identities"]
        assert (identity["provider"], identity["id"]) == ("gitlab", str(int(who.split("|")[0], 16)))
        assert identity["identity_data"]["user_name"] == who.split("|")[0]


def project_provider(name, **more):
    return ProjectProvider(name, KINDS[name], OAuthProvider.model_validate({"clientId": "c", **more}), "s")


@pytest.mark.parametrize(
    ("listed", "email", "is_verified"),
    [
        ([{"email": "A@b.c", "primary": True, "verified": True}], "a@b.c", True),
        ([{"email": "a@b.c", "primary": True, "verified": False}], "a@b.c", False),
        ([{"email": "x@b.c", "primary": False, "verified": True}], "", False),
        ({"message": "no"}, "", False),
    ],
)
def test_of_githubs_addresses_the_main_one_counts_and_what_it_says_of_it(listed, email, is_verified):
    account = account_of_github(project_provider("github"), {"id": 7, "login": "ann", "email": "z@z.z"}, listed)
    assert (account.id, account.email, account.is_verified) == ("7", email, is_verified)


@pytest.mark.parametrize(
    ("issuer", "claims", "is_verified"),
    [
        ("", {}, False),
        ("", {"email_verified": True}, False),
        ("", {"xms_edov": True}, True),
        ("", {"xms_edov": "0"}, False),
        ("https://login.microsoftonline.com/organizations/v2.0", {}, False),
        ("https://login.microsoftonline.com/7a1b-own-tenant/v2.0", {}, True),
        ("https://login.microsoftonline.com/7a1b-own-tenant/v2.0", {"xms_edov": False}, False),
    ],
)
def test_what_azure_says_of_an_address_counts_once_its_domain_is_known_to_be_theirs(issuer, claims, is_verified):
    azure = project_provider("azure", issuer=issuer)
    account = account_of_claims(azure, {"sub": "1", "email": "boss@example.com", **claims})
    assert account.is_verified is is_verified


def test_github_is_asked_at_its_own_places_or_those_of_a_server_of_ones_own():
    assert project_provider("github").api == "https://api.github.com"
    assert project_provider("github", issuer="https://git.example.org/").api == "https://git.example.org/api/v3"

"""A certified OpenID provider on loopback, which the operator lets projects use, and a project that does."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import KeySet, RSAKey

from app.auth.oauth.documents import ProviderDocuments
from infra.outbound.addresses import parse_networks
from infra.outbound.http import Outbound
from tests.fixtures import oidc

CLIENT, SECRET = "the-shop", "hush, it is a secret of the shop & nobody's"
APP = "https://app.example.com/welcome"
TEAM, KEY_ID = "TEAM123456", "KEY7890123"


class Browser:
    """Somebody with a browser, who signs in to a project with an account elsewhere."""

    def __init__(self, auth, issuer) -> None:
        self.auth, self.issuer = auth, issuer
        self.callback = f"http://api.test/project/{auth.id}/auth/v1/callback"

    def leave(self, provider="keycloak", *, expect=302, **query):
        """Leave for the provider; return the answer of /authorize."""
        answer = self.auth.client.get(
            f"/project/{self.auth.id}/auth/v1/authorize?{urlencode({'provider': provider, **query})}"
        )
        assert answer.status_code == expect, answer.text
        return answer

    def elsewhere(self, url, login, **how):
        """Sign in at the provider; return how it sends people back."""
        return oidc.go_through(url, login, back_to=self.callback, **how)

    def come_back(self, back):
        """Come back from the provider; return where that leads."""
        path = back.url.removeprefix("http://api.test")
        answer = self.auth.client.get(path) if back.form is None else self.auth.client.post(path, data=back.form)
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]

    def sign_in(self, login, provider="keycloak", *, abort=False, **query):
        """Do all of it; return where it ends: its address, query and fragment."""
        url = self.leave(provider, redirect_to=APP, **query).headers["Location"]
        return place(self.come_back(self.elsewhere(url, login, abort=abort)))


def place(url):
    """Return an address without query and fragment, and both of these as dicts."""
    parts = urlsplit(url)
    return (
        f"{parts.scheme}://{parts.netloc}{parts.path}",
        dict(parse_qsl(parts.query)),
        dict(parse_qsl(parts.fragment, keep_blank_values=True)),
    )


@pytest.fixture(scope="module")
def apple_key():
    """A key as Apple hands them out."""
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def provider(world, apple_key, tmp_path_factory):
    """The provider's issuer. It knows the project as a usual client, and as one that signs its secrets."""
    callback = f"http://api.test/project/{world.id}/auth/v1/callback"
    client = {"redirect_uris": [callback], "grant_types": ["authorization_code", "refresh_token"]}
    public = apple_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    keys = KeySet([RSAKey.generate_key(2048, {"use": "sig", "kid": "one"}, auto_kid=False)])
    with oidc.running(
        tmp_path_factory.mktemp("oidc"),
        clients=[{**client, "client_id": CLIENT, "client_secret": SECRET}],
        jwks=keys.as_dict(private=True),
    ) as issuer:
        world.provider_keys = keys
        yield issuer
    assert public


@pytest.fixture(autouse=True)
def use_loopback(world):
    """The operator lets projects use providers of loopback."""
    object.__setattr__(world.services, "oauth", ProviderDocuments(Outbound(parse_networks("127.0.0.0/8"), 5)))


@pytest.fixture
def browser(auth, provider):
    """Somebody with a browser; the project signs people in with the provider."""
    auth.configure(**with_provider(provider), spec={"secrets": {"oauth_secret_keycloak": SECRET}})
    return Browser(auth, provider)


def with_provider(issuer, name="keycloak", **more):
    """Return the settings of a project that signs people in with this provider."""
    from catalog.settings_auth import OAuthProvider

    return {
        "oauth_providers": {name: OAuthProvider.model_validate({"clientId": CLIENT, "issuer": issuer, **more})},
        "redirect_urls": [APP],
        "site_url": "https://site.example.com",
    }

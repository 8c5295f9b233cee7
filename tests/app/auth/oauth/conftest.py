"""A certified OpenID provider on loopback, which the operator lets projects use, and a project that does."""

from __future__ import annotations

from contextlib import contextmanager
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from joserfc.jwk import KeySet, RSAKey

from app.auth.oauth.documents import ProviderDocuments
from infra.outbound.addresses import parse_networks
from infra.outbound.http import Outbound
from tests.fixtures import oidc

CLIENT, SECRET = "the-shop", "hush, it is a secret of the shop & nobody's"
APP = "https://app.example.com/welcome"


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
def provider(world, tmp_path_factory):
    """The provider's issuer. What signs its tokens is `world.provider_keys`."""
    with run_provider(world, tmp_path_factory.mktemp("oidc")) as issuer:
        yield issuer


@contextmanager
def run_provider(world, folder, **given):
    """Run a provider that knows the project as a client, with more of its settings."""
    client = {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "redirect_uris": [f"http://api.test/project/{world.id}/auth/v1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        **given.pop("client", {}),
    }
    key = RSAKey.generate_key(2048, {"use": "sig", "kid": "one", "alg": "RS256"}, auto_kid=False)
    world.provider_keys = KeySet([key])
    with oidc.running(folder, clients=[client], jwks=world.provider_keys.as_dict(private=True), **given) as issuer:
        yield issuer


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

"""Where a project may have Auth ask: not where only the operator should reach."""

from __future__ import annotations

import socket

import pytest

from app.auth.oauth.documents import ProviderDocuments
from infra.outbound.http import Outbound
from tests.app.auth.oauth.conftest import APP, SECRET, with_provider


@pytest.fixture
def closed(auth):
    """What every installation has: nothing private is allowed."""
    object.__setattr__(auth.services, "oauth", ProviderDocuments(Outbound(seconds=3)))
    return auth


@pytest.fixture
def inner():
    """A server that only the operator should reach."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def was_asked(listener):
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def begin(auth, issuer, name="keycloak"):
    auth.configure(**with_provider(issuer, name), spec={"secrets": {f"oauth_secret_{name}": SECRET}})
    return auth.client.get(f"/project/{auth.id}/auth/v1/authorize?provider={name}&redirect_to={APP}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_provider_within_is_not_asked_for_its_configuration(closed, inner, scheme, host):
    answer = begin(closed, f"{scheme}://{host}:{inner.getsockname()[1]}")
    assert answer.status_code == 400
    assert "no server that may be asked" in answer.json["msg"]
    assert not was_asked(inner)


def test_nor_for_tokens_or_for_who_somebody_is(closed, inner):
    """One that publishes nothing is not asked before somebody comes back, and then not either."""
    issuer = f"http://127.0.0.1:{inner.getsockname()[1]}"
    answer = begin(closed, issuer, "gitlab")
    assert answer.status_code == 302, "the browser goes there, we do not"
    state = answer.headers["Location"].split("state=")[1].split("&")[0]
    back = closed.client.get(f"/project/{closed.id}/auth/v1/callback?code=x&state={state}")
    assert "error_code=unexpected_failure" in back.headers["Location"]
    assert not was_asked(inner)


def test_a_provider_that_is_away_is_another_thing_than_one_that_is_refused(auth, inner):
    port = inner.getsockname()[1]
    inner.close()
    answer = begin(auth, f"http://127.0.0.1:{port}")
    assert (answer.status_code, answer.json["error_code"]) == (503, "unavailable")

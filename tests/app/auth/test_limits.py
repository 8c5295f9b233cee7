"""How often one address may ask one project, and what whoever asks too often is told."""

from __future__ import annotations

import pytest

from infra.signals.limiter import RateLimiter
from tests.app.auth.people import refresh, sign_in

ASKED = {
    "sign_in_rate_per_minute": lambda auth: sign_in(auth, "nobody@example.com", "x" * 73),
    "sign_up_rate_per_minute": lambda auth: auth.call("POST", "/signup", {"email": "a@example.com"}),
    "anonymous_rate_per_minute": lambda auth: auth.call("POST", "/signup", {"password": "x"}),
    "refresh_rate_per_minute": lambda auth: refresh(auth, ""),
}


@pytest.fixture(params=["counted in Redis", "Redis is away"])
def counting(auth, request, valkey_url):
    """Counts of their own: in Redis, or in the process, since nobody answers there."""
    kept = auth.services.limiter
    made = RateLimiter(valkey_url if request.param == "counted in Redis" else "redis://127.0.0.1:1/0")
    object.__setattr__(auth.services, "limiter", made)
    yield made
    object.__setattr__(auth.services, "limiter", kept)
    made.close()


@pytest.mark.parametrize("setting", ASKED)
def test_who_asks_too_often_is_told_when_to_come_back(auth, counting, setting):
    auth.configure(**{"anonymous_sign_in": True, setting: 3})
    # The minute of the clock may end in between: then there are as many again.
    answers = [ASKED[setting](auth) for _ in range(8)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:3] == [answers[0].status_code] * 3
    assert answers[0].status_code in (400, 422)
    last = next(answer for answer in answers if answer.status_code == 429)
    assert last.json == {"code": "over_request_rate_limit", "message": "Request rate limit reached"}
    assert 1 <= int(last.headers["Retry-After"]) <= 60


def test_each_address_and_each_kind_of_request_is_counted_by_itself(auth, counting):
    auth.configure(sign_in_rate_per_minute=1)
    for _ in range(3):
        ASKED["sign_in_rate_per_minute"](auth)
    assert ASKED["refresh_rate_per_minute"](auth).status_code == 400
    other = auth.client.post(
        f"/project/{auth.id}/auth/v1/token?grant_type=password",
        json={"password": "x"},
        headers={"apikey": auth.key()},
        environ_overrides={"REMOTE_ADDR": "192.0.2.99"},
    )
    assert other.status_code == 400


def test_an_address_that_a_client_makes_up_does_not_count(auth, counting):
    auth.configure(sign_in_rate_per_minute=2)
    statuses = [
        auth.call("POST", "/token?grant_type=password", {}, headers={"X-Forwarded-For": f"192.0.2.{place}"}).status_code
        for place in range(8)
    ]
    assert 429 in statuses

"""While a project holds every lock of the server, the platform's own requests wait for the watchdog instead of failing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.http import dispatch
from infra.errors import LockTableFull
from tests.app.conftest import PASSWORD
from tests.fixtures.locks import no_lock_left
from tests.fixtures.servers import wait_until

REQUESTS = {
    "signing in": lambda person: person.post("/api/auth/login", json={"email": person.email, "password": PASSWORD}),
    "a project": lambda person: person.post("/api/projects", json={"name": "shop"}),
    "a list": lambda person: person.get("/api/projects"),
}


@pytest.fixture
def failures(monkeypatch):
    """How often a try has found no lock."""
    seen, made = [], LockTableFull.__init__

    def counted(self, *words, **more):
        seen.append(words)
        made(self, *words, **more)

    monkeypatch.setattr(LockTableFull, "__init__", counted)
    return seen


def test_requests_that_find_no_lock_wait_and_are_carried_out_once(town, settings, failures):
    person = town.signed_in()
    assert REQUESTS["a list"](person).status_code == 200
    with ThreadPoolExecutor(len(REQUESTS)) as pool:
        with no_lock_left(settings.database_url):
            asked = {name: pool.submit(act, person) for name, act in REQUESTS.items()}
            wait_until(lambda: len(failures) >= 6 or all(each.done() for each in asked.values()))
            assert not asked["signing in"].done()
            assert not asked["a project"].done()
        answers = {name: each.result() for name, each in asked.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "signing in": 200,
        "a project": 202,
        "a list": 200,
    }
    assert len(REQUESTS["a list"](person).json()["projects"]) == 1


def test_who_finds_none_for_long_is_told_when_to_come_again(town, settings, failures, monkeypatch):
    monkeypatch.setattr(dispatch, "LOCKS_SECONDS", 0.2)
    person = town.signed_in()
    with no_lock_left(settings.database_url):
        answer = REQUESTS["a project"](person)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert len(failures) > 1

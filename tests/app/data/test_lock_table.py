"""While another project holds every lock of the server, requests wait for the watchdog instead of failing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.data.errors import LocksExhausted
from app.data.run import instance as instances
from tests.app.data.asked import named
from tests.app.data.harm import ask
from tests.fixtures.locks import no_lock_left
from tests.fixtures.servers import wait_until

TABLE = """CREATE TABLE {t} (id int PRIMARY KEY);
CREATE FUNCTION {t}_f(i int) RETURNS void LANGUAGE sql AS 'INSERT INTO {t} VALUES (i)'"""
# A row, one that is judged before it is committed, and one by a function.
REQUESTS = [("POST", "/{t}", {"id": 1}), ("PUT", "/{t}?id=eq.2", {"id": 2}), ("POST", "/rpc/{t}_f", {"i": 3})]


@pytest.fixture
def failures(monkeypatch):
    """How often a try has found no lock."""
    seen, made = [], LocksExhausted.__init__

    def counted(self, fault):
        seen.append(fault)
        made(self, fault)

    monkeypatch.setattr(LocksExhausted, "__init__", counted)
    return seen


def begin(stamped):
    names = stamped.names()
    stamped.owner.execute(named(TABLE, **names))
    instance = stamped.instance()
    assert ask(instance, "GET", named("/{t}", **names))[0] == 200
    return instance, names


def test_requests_that_find_no_lock_wait_and_are_carried_out_once(stamped, failures):
    """The first has a session, others begin one."""
    instance, names = begin(stamped)
    with ThreadPoolExecutor(len(REQUESTS)) as pool:
        with no_lock_left(stamped.dsn):
            asked = [pool.submit(ask, instance, *named(list(each), **names)) for each in REQUESTS]
            wait_until(lambda: len(failures) > 2 * len(REQUESTS) or all(each.done() for each in asked))
            assert not any(each.done() for each in asked)
        assert {each.result()[0] for each in asked} <= {200, 201, 204}
    assert stamped.owner.execute(named("SELECT id FROM {t} ORDER BY id", **names)).fetchall() == [(1,), (2,), (3,)]


def test_who_finds_none_for_long_is_told_so(stamped, failures, monkeypatch):
    monkeypatch.setattr(instances, "PATIENCE_SECONDS", 0.2)
    instance, names = begin(stamped)
    with no_lock_left(stamped.dsn):
        status, said = ask(instance, *named(list(REQUESTS[0]), **names))
    assert status == 503
    assert len(failures) > 1
    assert "53200" in said

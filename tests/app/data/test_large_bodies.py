"""Large bodies, which processes of their own read for the one that serves many projects: nobody notices the difference."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from app.data.errors import PgrstError
from app.data.parse import body, media
from app.data.run import large_bodies
from app.data.run.large_bodies import LargeBodies

BODIES = [
    (media.JSON, b'[{"a": 1, "b": "\xc3\xa9"}, {"b": null, "a": [1, 2]}]', None, False),
    (media.JSON, b'{"b": 1, "a": 2}', None, False),
    (media.JSON, b'{"b": 1, "a": 2}', ("a",), False),
    (media.JSON, b'{"a": 1, "a": 2}', None, False),
    (media.JSON, b'[{"a": 1}, {"b": 2}]', None, False),
    (media.JSON, b"[", None, False),
    (media.JSON, b"[" * 300 + b"]" * 300, None, True),
    (media.JSON, b"", None, True),
    (media.JSON, b"[]", None, False),
    (media.JSON, b"\xff", None, False),
    (media.CSV, b"a,b\n1,NULL\n2,x\n", None, False),
    (media.CSV, b"a,b\n1\n", None, False),
    (media.FORM, b"a=1&b=%20&a=3", None, True),
    (media.OCTETS, b"\x00\xff", None, True),
    (media.TEXT, "ein schöner Text".encode(), None, True),
    (media.OCTETS, b"x", None, False),
]


@pytest.fixture
def large(monkeypatch):
    monkeypatch.setattr(large_bodies, "LARGE_BYTES", 0)
    with closing(Bodies()) as made:
        yield made


class Bodies(LargeBodies):
    """Reads bodies, and ends its processes."""

    def close(self):
        self.trim(0)

    def processes(self):
        return self.helpers.idle()


def came_of(read, *what, **more):
    try:
        return read(*what, **more)
    except PgrstError as fault:
        return fault.code, fault.message, fault.status


@pytest.mark.parametrize(("kind", "raw", "columns", "routine"), BODIES)
def test_a_large_body_is_read_as_a_small_one_is(large, kind, raw, columns, routine):
    here = came_of(body.read, raw, kind, columns, routine=routine)
    assert came_of(large.read, "a", raw, kind, columns, routine=routine) == here
    assert len(large.processes()) == 1, "a fault is an answer, too"


def test_a_process_that_has_died_is_replaced(large):
    assert large.read("a", b"{}", media.JSON, None, routine=False).is_object
    (process,) = large.processes()
    process.kill()
    process.wait(10)
    assert large.read("a", b"{}", media.JSON, None, routine=False).is_object
    assert large.processes() != [process]


def test_a_body_that_takes_too_long_is_given_up_and_the_next_is_read(large, monkeypatch):
    monkeypatch.setattr(large_bodies, "SECONDS", 0.0)
    assert came_of(large.read, "a", b" " * 9_000_000 + b"{}", media.JSON, None, routine=False)[0] == "PGRST001"
    assert large.processes() == []
    monkeypatch.undo()
    assert large.read("a", b"{}", media.JSON, None, routine=False).is_object


def test_one_project_never_has_all_the_processes(large):
    def read(whose):
        return large.read(whose, b"[" + b'{"a":1},' * 20_000 + b'{"a":1}]', media.JSON, None, routine=False).keys

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, ["a"] * 8)) == {("a",)}
        assert len(large.processes()) == 1
        assert set(pool.map(read, ["a", "b", "c", "d"] * 2)) == {("a",)}
        assert len(large.processes()) <= large_bodies.PROCESSES


def test_who_has_nothing_to_read_ends(large):
    large.read("a", b"{}", media.JSON, None, routine=False)
    (process,) = large.processes()
    large.trim(60)
    assert process.poll() is None
    large.trim(0)
    assert process.poll() is not None

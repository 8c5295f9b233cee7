"""Requests that succeed and requests that fail, in any order and side by side, against one data API."""

from __future__ import annotations

import itertools
import json
import threading
from typing import TYPE_CHECKING, Self

import psycopg
from psycopg.conninfo import make_conninfo

from app.data.config import from_values
from app.data.parse.request import RawRequest
from app.data.run.connections import Budget
from app.data.run.instance import Instance
from tests.fixtures.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

TABLES = """
CREATE TABLE parts (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE items (id int PRIMARY KEY, name text, part int REFERENCES parts DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE kept (id int PRIMARY KEY, word text, extra int);
INSERT INTO parts SELECT n, 'part ' || n FROM generate_series(1, 9) n;
INSERT INTO items SELECT n, 'item ' || n, n FROM generate_series(1, 9) n;
CREATE SCHEMA other; CREATE TABLE other.items (id text PRIMARY KEY, colour text);
INSERT INTO other.items SELECT n, 'blue' FROM generate_series(1, 9) n;
GRANT USAGE ON SCHEMA public, other TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA public, other TO {role};
CREATE FUNCTION boom(x int) RETURNS int LANGUAGE plpgsql AS
    $$BEGIN IF x < 0 THEN RAISE 'boom'; END IF; RETURN x; END$$;
CREATE FUNCTION calm(x int) RETURNS int LANGUAGE plpgsql STABLE AS
    $$BEGIN IF x < 0 THEN PERFORM pg_sleep(0.02); RAISE 'boom'; END IF; RETURN x; END$$;
CREATE FUNCTION says(state text) RETURNS void LANGUAGE plpgsql AS
    $$BEGIN RAISE 'as if' USING ERRCODE = state; END$$;
CREATE FUNCTION slow() RETURNS int LANGUAGE plpgsql SET statement_timeout = '15ms' AS
    $$BEGIN PERFORM pg_sleep(5); RETURN 1; END$$;
CREATE FUNCTION leaves() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS
    $$BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN 1; END$$;
CREATE FUNCTION sleeps() RETURNS int LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(3); RETURN 1; END$$;
CREATE FUNCTION forgets() RETURNS int LANGUAGE plpgsql AS $$BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN 1; END$$;
CREATE FUNCTION before() RETURNS void LANGUAGE plpgsql AS $$BEGIN
    IF current_setting('request.headers', true)::json ->> 'x-refused' IS NOT NULL THEN RAISE 'refused'; END IF; END$$;
"""
# A column that is dropped still counts as one of the 1,600 that a table may ever have.
ANOTHER_COLUMN = """DO $$ BEGIN
    IF (SELECT max(attnum) FROM pg_attribute WHERE attrelid = 'kept'::regclass) < 1000 THEN
        ALTER TABLE kept ADD more int; ALTER TABLE kept DROP more;
    ELSE
        ALTER TABLE kept RENAME extra TO more; ALTER TABLE kept RENAME more TO extra;
    END IF; END $$"""
WROTE = {"prefer": "return=representation"}
NOWHERE = {
    "code": "PGRST205",
    "details": None,
    "hint": None,
    "message": "Could not find the table 'public.absent' in the schema cache",
}
ONE = {"accept": "application/vnd.pgrst.object+json"}


class Place:
    """A database with tables, the URI of the login that serves it, and its administrator."""

    def __init__(self, admin: psycopg.Connection, uri: str, role: str) -> None:
        self.admin, self.uri, self.role = admin, uri, role
        self.numbers = itertools.count(1000)
        self.gone: Callable[[set[int]], bool] = lambda _pids: True

    def filled(self) -> Self:
        """Make the tables."""
        self.admin.execute(TABLES.format(role=f'"{self.role}"'))
        return self

    def through(self, uri: str, gone: Callable[[set[int]], bool]) -> Place:
        """Return the same, reached by another way, which says of sessions that were ended whether it knows."""
        other = Place(self.admin, uri, self.role)
        other.numbers, other.gone = self.numbers, gone
        return other

    def instance(self, **options) -> Instance:
        read = {
            "db-uri": make_conninfo(self.uri, connect_timeout=20),
            "db-anon-role": self.role,
            "db-schemas": "public,other",
            "db-pre-request": "public.before",
        }
        return Instance(from_values(read | options), Budget(50), "launchdb-harm")

    def end_sessions(self) -> None:
        """End every session of the login, and do not wait for it; a pooler lends what it does not know to be ended."""
        user = psycopg.conninfo.conninfo_to_dict(self.uri)["user"]
        ended = self.admin.execute(
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (user,)
        ).fetchall()
        wait_until(lambda: self.gone({pid for pid, _ in ended}))

    def alter(self, number: int) -> None:
        """Change a table that requests are about, so that none of them should notice."""
        self.admin.execute(
            (
                "ALTER TABLE items ALTER name TYPE varchar(90)",
                "ALTER TABLE items ALTER name TYPE text",
                ANOTHER_COLUMN,
                (
                    "CREATE OR REPLACE FUNCTION boom(x int) RETURNS int LANGUAGE plpgsql AS "
                    "$$BEGIN IF x < 0 THEN RAISE 'boom'; END IF; RETURN x; END$$"
                ),
            )[number % 4]
        )


def ask(instance, method, target, body=None, headers=None):
    """Return status and body."""
    path, _, query = target.partition("?")
    sent = {"content-type": "application/json", **(headers or {})}
    answer = instance.answer(
        RawRequest(method, path, query, sent, json.dumps(body).encode() if body is not None else b"")
    )
    return answer.status, answer.body.decode()


def good(kind: int, place: Place) -> tuple[tuple, tuple[int, object]]:
    """Return a request and what it is answered with when nothing else happens."""
    number, fresh = kind % 9 + 1, next(place.numbers)
    row = {"id": fresh, "word": "new"}
    return (
        (("GET", f"/items?select=id,name&id=eq.{number}"), (200, [{"id": number, "name": f"item {number}"}])),
        (("GET", f"/items?id=eq.{number}&select=id,parts(name)"), (200, [{"id": number, "parts": {"name": f"part {number}"}}])),
        (("GET", f"/items?select=id&id=eq.{number}", None, ONE), (200, {"id": number})),
        (("GET", f"/items?select=*&id=eq.{number}", None, {"accept-profile": "other"}), (200, [{"id": str(number), "colour": "blue"}])),
        (("GET", "/items?select=id&id=lt.3&order=id", None, {"prefer": "count=exact"}), (200, [{"id": 1}, {"id": 2}])),
        (("GET", f"/rpc/calm?x={number}"), (200, number)),
        (("POST", "/rpc/boom", {"x": number}), (200, number)),
        (("POST", "/kept?select=id,word", row, WROTE), (201, [row])),
        (("PUT", f"/kept?id=eq.{fresh}&select=id,word", row, WROTE), (201, [row])),
        (("PATCH", f"/parts?id=eq.{number}&select=name", {"name": f"part {number}"}, WROTE), (200, [{"name": f"part {number}"}])),
        (("DELETE", f"/kept?id=eq.{fresh}", None, {"prefer": "max-affected=1,handling=strict"}), (204, None)),
        (("GET", "/absent"), (404, NOWHERE)),
        (("OPTIONS", "/items"), (200, None)),
    )[kind % 13]  # fmt: skip


FAILING = (
    ("POST", "/rpc/boom", {"x": -1}),
    ("GET", "/rpc/calm?x=-1"),
    ("GET", "/items?select=id,name&id=eq.abc"),
    ("GET", "/items?id=eq.abc&select=id,parts(name)"),
    ("POST", "/parts", {"id": 1, "name": "taken"}),
    ("POST", "/kept?select=id,word", {"id": "x"}, WROTE),
    ("PATCH", "/items?id=eq.1", {"part": 0}),  # spoken of at the commit
    ("GET", "/items?select=id&id=eq.0", None, ONE),
    ("GET", "/rpc/boom?x=1", None, {"x-refused": "1"}),
    ("PATCH", "/parts?id=gt.0", {"name": "x"}, {"prefer": "max-affected=1,handling=strict"}),
    ("GET", "/items?nothing=eq.1"),
    ("GET", "/absent"),
    ("POST", "/rpc/slow", {}),
    ("POST", "/rpc/says", {"state": "26000"}),
    ("POST", "/rpc/says", {"state": "0A000"}),
    ("POST", "/rpc/says", {"state": "25P02"}),
    ("GET", "/rpc/boom?x=-1"),
)


def carried_out(instance: Instance, place: Place, deeds: list[tuple[str, int]]) -> list[str]:
    """Do one thing after another; return what came of good requests that should not have."""
    wrong = []
    for what, number in deeds:
        if what == "good":
            request, (status, body) = good(number, place)
            found, text = ask(instance, *request)
            if (found, json.loads(text) if text else None) != (status, body):
                wrong.append(f"{request}: {found} {text}")
        elif what == "fails":
            request = FAILING[number % len(FAILING)]
            status, text = ask(instance, *request)
            if status < 400:
                wrong.append(f"{request}: {status} {text}")
        elif what == "leaves":
            ask(instance, "POST", "/rpc/leaves", {})
        elif what == "forgets":
            ask(instance, "POST", "/rpc/forgets", {})
        elif what == "alters":
            place.alter(number)
    return wrong


def side_by_side(instance: Instance, place: Place, lanes: list[list[tuple[str, int]]]) -> list[str]:
    """Do several such lists at once."""
    wrong: list[str] = []

    def lane(deeds) -> None:
        wrong.extend(carried_out(instance, place, deeds))

    threads = [threading.Thread(target=lane, args=(deeds,), daemon=True) for deeds in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return wrong

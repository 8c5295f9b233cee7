"""Generated requests are answered as Postgres answers the SQL that a person would write for them, or refused alike."""

from __future__ import annotations

import json
import random
from contextlib import closing

import psycopg
import pytest
from psycopg import sql

from app.data.config import from_values
from app.data.parse.request import RawRequest
from app.data.run.connections import Budget
from app.data.run.instance import Instance
from tests.app.data.model import world
from tests.app.data.model.reads import read
from tests.app.data.model.writes import write

ALWAYS, CAMPAIGN, PARTS = 400, 20_000, 20
TABLES = ("m_authors", "m_books", "m_genres", "m_books_genres", "m_notes")
LISTED = sql.SQL("SELECT coalesce(json_agg(row_to_json(_)), '[]')::text FROM ({}) _")
COUNTED = sql.SQL("SELECT count(*) FROM ({}) _")


class Model:
    """A data API, and a session that asks the same as the same role."""

    def __init__(self, stamped, role, uri) -> None:
        self.owner = stamped.owner
        self.owner.execute(world.TABLES)
        for name in (*TABLES, "m_shelf"):
            self.owner.execute(f'GRANT ALL ON {name} TO "{role}"')
        self.owner.execute(f'GRANT USAGE ON SCHEMA public TO "{role}"')
        self.owner.execute(world.ROWS)
        config = from_values(
            {
                "db-uri": uri,
                "db-anon-role": role,
                "db-tx-end": "rollback-allow-override",
                "db-aggregates-enabled": "true",
                "url-use-legacy-target-names": "false",
            }
        )
        self.api = Instance(config, Budget(5))
        self.session = psycopg.connect(uri, autocommit=True)
        self.role = role

    def close(self) -> None:
        self.api.close()
        self.session.close()

    def ask(self, asked):
        """Return status, headers and body of an answer."""
        body = json.dumps(asked.body).encode() if asked.body is not None else b""
        headers = {"content-type": "application/json", **asked.headers}
        answer = self.api.answer(RawRequest(asked.method, asked.path, asked.query, headers, body))
        return answer.status, dict(answer.headers), json.loads(answer.body) if answer.body else None

    def model(self, asked, *, commit=False):
        """Return the rows as JSON and how many there are without a limit; or the class of Postgres's refusal."""
        with self.session.transaction(force_rollback=not commit):
            self.session.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(self.role)))
            try:
                with self.session.transaction():
                    return self._rows(asked)
            except psycopg.Error as error:
                return error.sqlstate

    def faults(self, asked):
        """Return the classes of all that is wrong with a request."""
        found = {"42703"} if "nothing" in asked.query else set()
        for part in asked.parts:
            with self.session.transaction(force_rollback=True):
                self.session.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(self.role)))
                try:
                    with self.session.transaction():
                        self.session.execute(part)
                except psycopg.Error as error:
                    found.add(error.sqlstate)
        return found

    def _rows(self, asked):
        if asked.method not in ("GET", "HEAD"):
            rows = json.loads(self.session.execute(asked.rows).fetchone()[0])
            return rows, len(rows)
        rows = json.loads(self.session.execute(LISTED.format(asked.rows)).fetchone()[0])
        return rows, self.session.execute(COUNTED.format(asked.everything)).fetchone()[0] if asked.counted else len(
            rows
        )

    def contents(self):
        each = sql.SQL(", ").join(
            sql.SQL("(SELECT json_agg(r ORDER BY r::text) FROM {} r)").format(sql.Identifier(name)) for name in TABLES
        )
        return self.owner.execute(sql.SQL("SELECT json_build_array({})").format(each)).fetchone()[0]

    def restore(self, *, commit):
        if not commit:
            return
        emptied = ";".join(
            f"DELETE FROM {name}" for name in ("m_books_genres", "m_notes", "m_genres", "m_books", "m_authors")
        )
        self.owner.execute(f"{emptied}; {world.ROWS}")


@pytest.fixture(scope="module")
def model(stamped, tenant):
    made = Model(stamped, tenant.roles.anon, tenant.uri(tenant.roles.authenticator))
    with closing(made):
        yield made


def canonical(value, unordered):
    """Return an answer with each array sorted whose order is nobody's."""
    if isinstance(value, dict):
        return {
            name: sorted(map(canonical_text, each)) if name in unordered and isinstance(each, list) else each
            for name, each in value.items()
        }
    return value


def canonical_text(value):
    return json.dumps(value, sort_keys=True)


def compare(model, asked, *, commit=False):
    """Assert that an answer is the model's."""
    status, headers, body = model.ask(asked)
    said = model.contents() if commit else None
    model.restore(commit=commit)
    before = model.contents() if commit else None
    wanted = model.model(asked, commit=commit)
    shown = (
        asked.method,
        asked.path,
        asked.params,
        asked.headers,
        asked.body,
        asked.rows.as_string(None),
        status,
        body,
    )
    rows, total = ([], 0) if isinstance(wanted, str) else wanted
    # A value that no row of the answer needs may be read or not.
    unread = asked.decided or (asked.body is not None and not rows)
    if isinstance(wanted, str) or (unread and status == 400 and body.get("code") in model.faults(asked)):
        refused = body.get("code") if asked.method != "HEAD" and isinstance(body, dict) else wanted
        assert status >= 400, (wanted, *shown)
        assert refused == wanted or refused in model.faults(asked), (wanted, *shown)
        assert said == before, shown
        model.restore(commit=commit)
        return "refused"
    assert not commit or said == model.contents(), shown
    model.restore(commit=commit)
    assert status < 500, shown
    if asked.single:
        assert (status in (200, 206)) == (len(rows) == 1), (wanted, *shown)
        if status == 406:
            return "not one"
        body = body if body is None else [body]
    if asked.counted and asked.offset > total:
        assert status == 416, (wanted, *shown)
        return "beyond"
    assert status < 300, (wanted, *shown)
    if asked.method != "HEAD" and not asked.silent:
        found = [canonical(row, asked.unordered) for row in body]
        right = [canonical(row, asked.unordered) for row in rows]
        if not asked.ordered:
            found, right = sorted(found, key=canonical_text), sorted(right, key=canonical_text)
        assert found == right, (rows, *shown)
    compare_range(asked, headers, len(rows), total, (wanted, *shown))
    return "answered"


def compare_range(asked, headers, rows, total, shown):
    if asked.method == "GET" and not asked.single:
        last = f"{asked.offset}-{asked.offset + rows - 1}" if rows and total else "*"
        assert headers["Content-Range"] == f"{last}/{total if asked.counted else '*'}", shown
    if asked.method not in ("GET", "HEAD") and asked.counted:
        assert headers["Content-Range"].endswith(f"/{rows}"), shown


def run(model, seed, often):
    chance, counted = random.Random(seed), {}
    model.restore(commit=True)
    for _ in range(often):
        writes = chance.random() < 0.35
        asked = (write if writes else read)(chance)
        commit = writes and chance.random() < 0.15
        if commit:
            asked.headers["prefer"] = f"{asked.headers['prefer']}, tx=commit"
        how = compare(model, asked, commit=commit)
        counted[how] = counted.get(how, 0) + 1
    return counted


def test_generated_requests_are_answered_as_the_sql_for_them_is(model):
    counted = run(model, 1, ALWAYS)
    assert counted["answered"] > ALWAYS / 3
    assert counted["refused"] > ALWAYS / 20


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2, 2 + PARTS))
def test_twenty_thousand_generated_requests_are_answered_as_the_sql_for_them_is(model, seed):
    run(model, seed, CAMPAIGN // PARTS)

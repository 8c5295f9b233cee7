"""A request that is planned by its shape is planned as if it were the first: with any value, against any schema."""

from __future__ import annotations

import json
import random
from urllib.parse import quote

import pytest

from app.data.errors import PgrstError
from app.data.parse import body, shapes
from app.data.parse import request as requests
from app.data.plan import schema
from app.data.run.plans import SHAPES_MAX, StatementPlans
from app.data.sql import statement

ALL_PARTS = frozenset({schema.ROUTINES, schema.LINKS})
VALUES = [
    "1", "", "a", "*", "a*b*", "%", "%%", "%s", "%(p0)s", "$1", "null", "eq.1", "not.eq.1", "a,b", "(a)", ")", '"', '"a,b"',
    '"a"b', "\\", "\\\\", "{a}", "{}", "'", "''; --", "ä", "𝄞", "a b", "a+b", "a&b", "1e9", "-1", "a.b", "1.5", "\n",
    "\ue000", "\ue000launchdb 0\ue000", "launchdb 0", "a" * 300,
]  # fmt: skip
OPERATORS = [
    "eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch", "cs", "cd", "ov", "isdistinct", "fts",
    "plfts(english)", "eq(any)", "like(all)", "is", "in", "nothing",
]  # fmt: skip
COLUMNS = ["id", "title", "about->k->>n", "tags", "odd %25 name", "authors.name", "none", "pages"]
SELECTS = ["*", "id,title", "id,authors(name)", "title,authors!inner(id,name)", "authors(*),id", "about->k", "none(*)"]
HEADERS = [
    {}, {"prefer": "count=exact"}, {"prefer": "return=representation"}, {"accept": "application/vnd.pgrst.object+json"},
    {"accept": "text/csv"}, {"prefer": "count=planned"}, {"prefer": "missing=default"}, {"range": "0-1"},
]  # fmt: skip
BODIES = [
    {"title": "a"},
    [{"title": "a", "pages": 1}],
    {"none": 1},
    [],
    {"title": "\ue000launchdb body\ue000"},
    [{"id": 7}],
]


@pytest.fixture(scope="module")
def world(project):
    """A project's configuration and what is known of its schema."""
    project.admin.execute("SELECT 1")
    instance = project.registry.find(project.id)
    with instance.pool.lend() as connection:
        config = instance.config
        return config, schema.load(connection, config.db_schemas, config.db_extra_search_path, ALL_PARTS)


def raw(method, target, headers=None, sent=b""):
    path, _, query = target.partition("?")
    return requests.RawRequest(method, path, query, {"content-type": "application/json", **(headers or {})}, sent)


def planned(world, asked):
    """What is planned for a request by itself: text, values, and what answers repeat; or how it is refused."""
    config, cache = world
    try:
        request = requests.read(asked, config)
        return shown(statement.plan(request, cache, config), request)
    except PgrstError as fault:
        return fault.code, fault.message, fault.details, fault.hint


def planned_by_shape(world, plans, asked):
    try:
        request = plans.read(asked)
        return shown(plans.plan(request, world[1]), request)
    except PgrstError as fault:
        return fault.code, fault.message, fault.details, fault.hint


def shown(found, request):
    return (
        found.text.as_string(None),
        found.values,
        found.count,
        found.media,
        found.writes,
        request.canonical,
        request.window,
    )


def generated(chance):
    """Return a template of a request: what stays, and a function that makes one with other values."""
    method = chance.choice(["GET", "GET", "GET", "HEAD", "PATCH", "DELETE", "POST"])
    headers, sent = chance.choice(HEADERS), json.dumps(chance.choice(BODIES)).encode()
    filters = [
        (chance.choice(COLUMNS), chance.choice(["", "not."]), chance.choice(OPERATORS))
        for _ in range(chance.randrange(4))
    ]
    more = [f"select={chance.choice(SELECTS)}"] * chance.randrange(2) + chance.sample(
        ["order=id.desc", "limit=2", "offset=1", "or=(id.eq.1,title.like.a*)", "columns=title", "on_conflict=id"],
        chance.randrange(3),
    )
    if chance.random() < 0.25:
        return lambda: raw(*chance.choice([
            ("GET", f"/rpc/add?a={quote(chance.choice(VALUES))}&b={quote(chance.choice(VALUES))}", headers),
            ("POST", "/rpc/add", headers, json.dumps({"a": chance.choice(VALUES), "b": 1}).encode()),
        ]))  # fmt: skip

    def made():
        words = [f"{name}={no}{word}.{quote(of(word))}" for name, no, word in filters]
        return raw(method, f"/books?{'&'.join([*words, *more])}", headers, sent if method in ("PATCH", "POST") else b"")

    def of(word):
        values = chance.choices(VALUES, k=2)
        return f"({','.join(values)})" if word == "in" else values[0]

    return made


@pytest.mark.parametrize("seed", range(6))
def test_what_is_planned_by_shape_is_what_would_be_planned_for_the_request_itself(world, seed):
    chance, plans, by_shape = random.Random(seed), StatementPlans(world[0], body.read), 0
    for _ in range(60):
        made = generated(chance)
        for _ in range(5):
            asked = made()
            assert planned_by_shape(world, plans, asked) == planned(world, asked), asked
            by_shape += (
                getattr(plans.read(asked) if planned(world, asked)[0] != "PGRST100" else None, "shape", None)
                is not None
            )
    assert by_shape > 60, "most are planned by their shape"


@pytest.mark.parametrize(
    ("method", "target", "sent"),
    [
        ("GET", "/books?id=eq.{}", ""),
        ("GET", "/books?title=like.{}*&select=title,authors(name)&order=id&limit=5", ""),
        ("GET", "/books?id=in.({},7)", ""),
        ("PATCH", "/books?id=eq.{}", '{{"title": "{}"}}'),
        ("POST", "/books", '{{"title": "{}"}}'),
        ("POST", "/rpc/add", '{{"a": {}}}'),
        ("GET", "/rpc/add?a={}", ""),
    ],
)
def test_a_statement_is_planned_once_however_many_values_come(world, monkeypatch, method, target, sent):
    plans, counted = StatementPlans(world[0], body.read), []
    honest = statement.plan
    monkeypatch.setattr(statement, "plan", lambda *given: counted.append(1) or honest(*given))
    texts = set()
    for number in range(20):
        request = plans.read(raw(method, target.format(number), sent=sent.format(number, number).encode()))
        texts.add(plans.plan(request, world[1]).text.as_string(None))
    assert (len(texts), len(counted)) == (1, 2), "the first by itself, the second for all"


def test_another_state_of_the_schema_is_planned_anew(project, world):
    config, _ = world
    plans = StatementPlans(config, body.read)
    with project.registry.find(project.id).pool.lend() as connection:
        caches = []
        for change in (
            "CREATE TABLE changing (id int)",
            "ALTER TABLE changing ADD COLUMN more text",
            "DROP TABLE changing",
        ):
            project.admin.execute(change)
            caches.append(schema.load(connection, config.db_schemas, config.db_extra_search_path, ALL_PARTS))
    asked = raw("POST", "/changing", {"prefer": "missing=default"}, b'{"id": 1, "more": "x"}')
    for _ in range(2):
        found = [planned_by_shape((config, cache), plans, asked)[0] for cache in caches for _ in range(3)]
        assert found[:3] == ["PGRST204"] * 3
        assert all('"more"' in text for text in found[3:6])
        assert found[6:] == ["PGRST205"] * 3


def test_shapes_take_no_more_than_their_room(world):
    plans = StatementPlans(world[0], body.read)
    for number in range(SHAPES_MAX + 50):
        for _ in range(3):
            plans.plan(plans.read(raw("GET", f"/books?select=id,a{number}:title&id=eq.1")), world[1])
    assert {len(plans._seen), len(plans._read), len(plans._kept.plans)} == {SHAPES_MAX}


def test_a_shape_that_made_room_before_it_was_planned_is_kept_when_it_comes_again(world):
    plans, asked = StatementPlans(world[0], body.read), raw("GET", "/books?id=eq.1&select=id,title")
    plans.read(asked)
    plans.read(asked)
    late = plans.read(asked)
    for number in range(SHAPES_MAX):
        for _ in range(2):
            plans.read(raw("GET", f"/books?select=id,b{number}:title&id=eq.1"))
    plans.plan(late, world[1])
    found = [plans.plan(plans.read(asked), world[1]) for _ in range(3)]
    assert found[1].text is found[2].text


def test_what_is_too_long_or_holds_marks_has_no_shape():
    assert shapes.shape_of(raw("GET", f"/t?id=eq.{'a' * 3000}"), called=False) is None
    assert shapes.shape_of(raw("GET", f"/t?id=eq.{quote(shapes.mark_of(0))}"), called=False) is None
    assert shapes.shape_of(raw("PUT", "/t?id=eq.1"), called=False) is None


def test_the_most_rows_of_an_answer_are_no_limit_of_the_one_row_that_is_embedded(world):
    """Which would keep Postgres from planning it as a join."""
    targets = ("/books?select=title,authors(name)", "/authors?select=name,books(title)")
    one, many = (planned(world, raw("GET", target))[0].count("LIMIT") for target in targets)
    assert (one, many) == (1, 2)

"""Domains with casts to and from JSON and text: how their values are written, read from bodies and from filters."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from app.data.plan import schema

SCHEMA = """
CREATE DOMAIN color AS integer CHECK (VALUE BETWEEN 0 AND 16777215);
CREATE FUNCTION color_json(color) RETURNS json LANGUAGE sql IMMUTABLE AS
    $$SELECT to_json('#' || lpad(upper(to_hex($1)), 6, '0'))$$;
CREATE FUNCTION color_of(text) RETURNS color LANGUAGE sql IMMUTABLE AS
    $$SELECT ('x' || lpad(ltrim($1, '#'), 8, '0'))::bit(32)::int::color$$;
CREATE FUNCTION color_of(json) RETURNS color LANGUAGE sql IMMUTABLE AS $$SELECT color_of($1 #>> '{}')$$;
CREATE CAST (color AS json) WITH FUNCTION color_json(color) AS IMPLICIT;
CREATE CAST (json AS color) WITH FUNCTION color_of(json) AS IMPLICIT;
CREATE CAST (text AS color) WITH FUNCTION color_of(text) AS IMPLICIT;
CREATE TABLE palettes (id int PRIMARY KEY, name text);
CREATE TABLE paints (id int PRIMARY KEY, name text, shade color DEFAULT 255, palette_id int REFERENCES palettes);
INSERT INTO palettes VALUES (1, 'warm');
INSERT INTO paints VALUES (1, 'red', 16711680, 1), (2, 'green', 65280, 1), (3, 'none', NULL, NULL);
CREATE VIEW shown_paints AS SELECT id, name, shade FROM paints;
CREATE FUNCTION all_paints() RETURNS SETOF paints LANGUAGE sql STABLE AS 'SELECT * FROM paints ORDER BY id';
"""
WROTE = {"Prefer": "return=representation"}


@pytest.fixture(scope="module", autouse=True)
def painted(project):
    project.admin.execute(SCHEMA)


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("/paints?select=id,shade&id=eq.1", [{"id": 1, "shade": "#FF0000"}]),
        ("/paints?select=hue:shade&id=eq.1", [{"hue": "#FF0000"}]),
        ("/paints?select=shade::text&id=eq.1", [{"shade": '"#FF0000"'}]),
        ("/paints?id=eq.2", [{"id": 2, "name": "green", "shade": "#00FF00", "palette_id": 1}]),
        ("/paints?select=shade&id=eq.3", [{"shade": None}]),
        ("/shown_paints?id=eq.1", [{"id": 1, "name": "red", "shade": "#FF0000"}]),
        ("/palettes?select=paints(shade)&paints.order=id", [{"paints": [{"shade": "#FF0000"}, {"shade": "#00FF00"}]}]),
        ("/paints?select=...palettes(name),shade&id=eq.1", [{"name": "warm", "shade": "#FF0000"}]),
        ("/palettes?select=...paints(shade)&paints.order=id", [{"shade": ["#FF0000", "#00FF00"]}]),
        ("/rpc/all_paints?select=shade&limit=1", [{"shade": "#FF0000"}]),
        ("/paints?select=id&shade=eq.%2300FF00", [{"id": 2}]),
        ("/paints?select=id&shade=not.eq.00FF00&shade=not.is.null", [{"id": 1}]),
        ("/paints?select=id&shade=in.(FF0000,00FF00)&order=id", [{"id": 1}, {"id": 2}]),
        ("/paints?select=id&shade=eq(any).{FF0000,123456}", [{"id": 1}]),
        ("/paints?select=id&or=(shade.eq.FF0000,shade.is.null)&order=id", [{"id": 1}, {"id": 3}]),
        ("/palettes?select=paints(id)&paints.shade=gt.00FFFF", [{"paints": [{"id": 1}]}]),
    ],
)
def test_a_domain_is_shown_and_asked_for_in_its_own_words(project, target, answer):
    response = project.get(target)
    assert (response.status_code, response.json) == (200, answer)


@pytest.mark.parametrize(
    ("method", "target", "body", "answer"),
    [
        ("POST", "/paints?select=id,shade", {"id": 9, "shade": "#0000FF"}, {"id": 9, "shade": "#0000FF"}),
        ("POST", "/shown_paints?select=shade", {"id": 9, "shade": "#0000FF"}, {"shade": "#0000FF"}),
        ("POST", "/paints?columns=id,shade&select=shade", {"id": 9, "shade": "#0A", "no": 1}, {"shade": "#00000A"}),
        ("PATCH", "/paints?id=eq.1&select=shade", {"shade": "#0000FF"}, {"shade": "#0000FF"}),
        ("PATCH", "/paints?shade=eq.FF0000&select=id", {"name": "r"}, {"id": 1}),
        ("PUT", "/paints?id=eq.9&select=shade", {"id": 9, "name": "n", "shade": "#1", "palette_id": 1},
         {"shade": "#000001"}),
        ("DELETE", "/paints?shade=eq.FF0000&select=shade", None, {"shade": "#FF0000"}),
    ],
)  # fmt: skip
def test_a_domain_is_written_in_its_own_words(project, method, target, body, answer):
    response = project.call(method, target, body=body, headers=WROTE)
    assert (response.status_code in (200, 201), response.json) == (True, [answer]), response.text


def test_a_value_that_the_cast_refuses_is_the_clients_fault(project):
    response = project.call("POST", "/paints", body={"id": 9, "shade": "no colour"})
    assert (response.status_code, response.json["code"]) == (400, "22P02")


def test_a_cast_runs_as_the_caller(project):
    project.admin.execute(
        "CREATE OR REPLACE FUNCTION color_json(color) RETURNS json LANGUAGE sql STABLE AS $$SELECT to_json(current_user::text)$$"
    )
    try:
        assert project.get("/paints?select=shade&id=eq.1", role="anon").json == [{"shade": f"{project.id}_anon"}]
    finally:
        project.admin.execute(SCHEMA.split(";\n")[1].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))


def test_a_cast_counts_from_when_it_is_made_to_when_it_is_dropped(project):
    project.admin.execute("DROP CAST (color AS json)")
    try:
        assert project.get("/paints?select=shade&id=eq.1").json == [{"shade": 16711680}]
    finally:
        project.admin.execute("CREATE CAST (color AS json) WITH FUNCTION color_json(color) AS IMPLICIT")
    assert project.get("/paints?select=shade&id=eq.1").json == [{"shade": "#FF0000"}]


def test_a_new_cast_changes_the_checksum_that_stands_in_for_a_stamp(plain):
    plain.owner.execute(
        SCHEMA.replace("CREATE CAST (color AS json)", "CREATE CAST (color AS jsonb)").partition("CREATE CAST")[0]
    )
    before = schema.load(plain.owner, ("public",), (), frozenset()).stamp
    plain.owner.execute("CREATE CAST (color AS json) WITH FUNCTION color_json(color) AS IMPLICIT")
    assert schema.load(plain.owner, ("public",), (), frozenset()).stamp != before


def test_a_login_whose_name_has_capitals_is_served(plain, server_url):
    name = "Ldb_Capital_Login"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'of-a-test'")
        try:
            with psycopg.connect(
                make_conninfo(plain.dsn, user=name, password="of-a-test"),
                autocommit=True,
            ) as login:
                assert schema.load(login, ("public",), (), frozenset()).stamp
        finally:
            admin.execute(f'DROP ROLE "{name}"')

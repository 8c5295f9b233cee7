"""The description at the root: Swagger 2.0 of what the caller may use, with what people have said of it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from urllib.parse import unquote

import pytest

SCHEMA = """
COMMENT ON SCHEMA public IS E'A library\\n\\nBooks and\\nwho wrote them';
CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TYPE mood_pair AS (a int, b int);
CREATE TABLE things (
    id bigint PRIMARY KEY, label character varying(20) DEFAULT 'none' NOT NULL, mood mood DEFAULT 'glad', price numeric DEFAULT 4.2,
    done boolean DEFAULT false, day date DEFAULT '1900-01-01', at timestamptz DEFAULT now(), notes jsonb, tags text[],
    book_id int REFERENCES books, "odd/na~me %" text, code character(3)
);
COMMENT ON TABLE things IS E'Things\\nThat lie around\\nuntil lost';
COMMENT ON COLUMN things.label IS 'What it is called';
COMMENT ON COLUMN things.id IS 'Its number';
CREATE VIEW few_things AS SELECT id, label FROM things; COMMENT ON VIEW few_things IS 'Only some';
CREATE FUNCTION find_things(name text, kinds text[], moods mood DEFAULT 'sad', VARIADIC more int[] DEFAULT '{}') RETURNS SETOF things
    LANGUAGE sql STABLE AS 'SELECT * FROM things';
COMMENT ON FUNCTION find_things IS E'Finds them\\n\\nWherever they are';
CREATE FUNCTION take_raw(json) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION unsaid() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
CREATE FUNCTION secret_thing() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'; REVOKE ALL ON FUNCTION secret_thing() FROM PUBLIC;
"""


@pytest.fixture(scope="module", autouse=True)
def described(project):
    project.admin.execute(SCHEMA)


@contextmanager
def told(project, text):
    conf = project.folder / "data-api.conf"
    before = conf.read_text()
    conf.write_text(f"{before}{text}\n")
    try:
        yield
    finally:
        conf.write_text(before)


def description(project, **more):
    response = project.get("/", **more)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/openapi+json; charset=utf-8")
    return response.json


def at(document, *keys):
    for key in keys:
        document = document[key]
    return document


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("swagger",), "2.0"),
        (("info", "title"), "A library"),
        (("info", "description"), "Books and\nwho wrote them"),
        (("paths", "/things", "get", "summary"), "Things"),
        (("paths", "/things", "get", "description"), "That lie around\nuntil lost"),
        (("paths", "/things", "post", "responses"), {"201": {"description": "Created"}}),
        (("paths", "/things", "patch", "responses", "204", "description"), "No Content"),
        (("paths", "/things", "get", "responses", "200", "schema", "items"), {"$ref": "#/definitions/things"}),
        (("paths", "/few_things", "get", "summary"), "Only some"),
        (("definitions", "things", "required"), ["id", "label"]),
        (("definitions", "things", "description"), "Things\nThat lie around\nuntil lost"),
        (("parameters", "rowFilter.things.label"), {
            "name": "label", "description": "What it is called", "required": False, "in": "query", "type": "string",
        }),
        (("parameters", "body.things", "schema"), {"$ref": "#/definitions/things"}),
        (("paths", "/rpc/find_things", "get", "summary"), "Finds them"),
        (("paths", "/rpc/find_things", "get", "description"), "Wherever they are"),
        (("paths", "/rpc/find_things", "get", "parameters"), [
            {"name": "name", "in": "query", "required": True, "type": "string", "format": "text"},
            {"name": "kinds", "in": "query", "required": True, "type": "string", "format": "text[]"},
            {"name": "moods", "in": "query", "required": False, "type": "string", "format": "mood"},
            {"name": "more", "in": "query", "required": False, "type": "array", "collectionFormat": "multi",
             "items": {"type": "integer", "format": "int32"}},
        ]),
        (("paths", "/rpc/find_things", "post", "parameters", 0, "schema"), {
            "description": "Finds them\n\nWherever they are", "type": "object", "required": ["name", "kinds"],
            "properties": {
                "name": {"format": "text", "type": "string"},
                "kinds": {"format": "text[]", "type": "array", "items": {"type": "string"}},
                "moods": {"format": "mood", "type": "string"},
                "more": {"format": "integer[]", "type": "array", "items": {"type": "integer"}},
            },
        }),
    ],
)  # fmt: skip
def test_the_description_says_what_is_there_and_what_is_said_of_it(project, keys, value):
    assert at(description(project), *keys) == value


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", {"format": "int64", "type": "integer", "description": "Its number\n\nNote:\nThis is a Primary Key.<pk/>"}),
        ("label", {"format": "character varying", "type": "string", "default": "none", "maxLength": 20,
                   "description": "What it is called"}),
        ("mood", {"format": "public.mood", "type": "string", "enum": ["sad", "glad"], "default": "glad"}),
        ("price", {"format": "numeric", "type": "number", "default": 4.2}),
        ("done", {"format": "boolean", "type": "boolean", "default": False}),
        ("day", {"format": "date", "type": "string", "default": "1900-01-01"}),
        ("at", {"format": "timestamp with time zone", "type": "string", "default": "now()"}),
        ("notes", {"format": "jsonb"}),
        ("tags", {"format": "text[]", "type": "array", "items": {"type": "string"}}),
        ("book_id", {"format": "int32", "type": "integer", "description":
                     "Note:\nThis is a Foreign Key to `books.id`.<fk table='books' column='id'/>"}),
        ("code", {"format": "character", "type": "string", "maxLength": 3}),
    ],
)  # fmt: skip
def test_a_column_is_described_by_type_default_values_and_keys(project, column, value):
    assert at(description(project), "definitions", "things", "properties", column) == value


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_every_reference_leads_somewhere_whatever_a_name_is_made_of(project):
    document = description(project)
    found = set(references(document))
    for reference in found:
        keys = [unquote(part).replace("~1", "/").replace("~0", "~") for part in reference.removeprefix("#/").split("/")]
        assert at(document, *keys)
    assert any("odd~1na~0me%20%25" in reference for reference in found)
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert all(each["responses"] for each in operations)
    assert all(path.startswith("/") for path in document["paths"])


def test_the_description_holds_what_the_role_may_use(project):
    document = description(project, role="anon")
    assert "/locked" not in document["paths"]
    assert "/rpc/secret_thing" not in document["paths"]
    assert "/rpc/unsaid" in document["paths"]
    project.admin.execute(f'REVOKE INSERT ON things FROM "{project.id}_anon"')
    assert set(description(project, role="anon")["paths"]["/things"]) == {"get", "delete", "patch"}
    with told(project, 'openapi-mode = "ignore-privileges"'):
        assert {"/locked", "/rpc/secret_thing"} <= set(description(project, role="anon")["paths"])


def test_a_comment_counts_at_once(project):
    project.admin.execute("COMMENT ON FUNCTION unsaid() IS 'Said now'")
    assert at(description(project), "paths", "/rpc/unsaid", "get", "summary") == "Said now"


@pytest.mark.parametrize(
    ("uri", "host", "path", "scheme"),
    [
        ("https://api.example.com/db/one", "api.example.com:443", "/db/one", "https"),
        ("http://[::1]:3001", "[::1]:3001", "/", "http"),
        ("", "127.0.0.1:3000", "/", "http"),
    ],
)
def test_the_description_names_the_address_that_clients_know(project, uri, host, path, scheme):
    with told(project, f'openapi-server-proxy-uri = "{uri}"'):
        document = description(project)
        assert (document["host"], document["basePath"], document["schemes"]) == (host, path, [scheme])


def test_tokens_are_described_where_a_setting_says_so(project):
    assert "security" not in description(project)
    with told(project, "openapi-security-active = true"):
        document = description(project)
        assert document["security"] == [{"JWT": []}]
        assert at(document, "securityDefinitions", "JWT", "name") == "Authorization"


def test_a_disabled_description_is_none(project):
    with told(project, 'openapi-mode = "disabled"'):
        response = project.get("/")
        assert (response.status_code, response.json["code"]) == (404, "PGRST126")


def test_the_description_comes_as_json_and_as_nothing_else(project):
    assert project.get("/", headers={"Accept": "application/json"}).status_code == 200
    response = project.get("/", headers={"Accept": "text/csv"})
    assert (response.status_code, response.json["code"]) == (406, "PGRST107")


def test_a_root_function_may_describe_the_api_itself(project):
    project.admin.execute(
        'CREATE DOMAIN "application/openapi+json" AS json; CREATE FUNCTION describe() RETURNS "application/openapi+json" '
        """LANGUAGE sql STABLE AS $$SELECT '{"swagger": "2.0"}'::json::"application/openapi+json"$$"""
    )
    with told(project, 'db-root-spec = "describe"'):
        response = project.get("/", headers={"Accept": "application/openapi+json"})
        assert response.headers["Content-Type"] == "application/openapi+json; charset=utf-8"
        assert json.loads(response.data) == {"swagger": "2.0"}

"""Answers of media types that the database makes, and bodies that functions take as they are."""

from __future__ import annotations

import pytest

SCHEMA = """
CREATE DOMAIN "text/plain" AS text; CREATE DOMAIN "text/html" AS text; CREATE DOMAIN "image/png" AS bytea;
CREATE DOMAIN "application/vnd.books+json" AS jsonb; CREATE DOMAIN "application/vnd.lines" AS text;
CREATE DOMAIN "*/*" AS bytea; CREATE DOMAIN "text/xml" AS xml;
CREATE FUNCTION page() RETURNS "text/html" LANGUAGE sql STABLE AS $$SELECT '<script>alert(1)</script>'::"text/html"$$;
CREATE FUNCTION plain(who text) RETURNS "text/plain" LANGUAGE sql STABLE AS $$SELECT ('dear ' || who)::"text/plain"$$;
CREATE FUNCTION picture() RETURNS "image/png" LANGUAGE sql STABLE AS $$SELECT '\\x89504e47000aff'::bytea::"image/png"$$;
CREATE FUNCTION document() RETURNS "text/xml" LANGUAGE sql STABLE AS $$SELECT '<a>ä</a>'::xml::"text/xml"$$;
CREATE FUNCTION anything() RETURNS "*/*" LANGUAGE sql STABLE AS $$SELECT '\\x00ff'::bytea::"*/*"$$;
CREATE FUNCTION whose() RETURNS "text/plain" LANGUAGE sql STABLE AS $$SELECT current_user::text::"text/plain"$$;
CREATE FUNCTION next_line(text, anyelement) RETURNS text LANGUAGE sql AS $$SELECT $1 || row_to_json($2)::text || chr(10)$$;
CREATE FUNCTION as_lines(text) RETURNS "application/vnd.lines" LANGUAGE sql AS $$SELECT $1::"application/vnd.lines"$$;
CREATE AGGREGATE lines_of(anyelement) (SFUNC = next_line, STYPE = text, FINALFUNC = as_lines, INITCOND = '');
CREATE FUNCTION next_book(jsonb, books) RETURNS jsonb LANGUAGE sql AS $$SELECT $1 || to_jsonb($2.title)$$;
CREATE FUNCTION as_books(jsonb) RETURNS "application/vnd.books+json" LANGUAGE sql AS
    $$SELECT $1::"application/vnd.books+json"$$;
CREATE AGGREGATE titles_of(books) (SFUNC = next_book, STYPE = jsonb, FINALFUNC = as_books, INITCOND = '[]');
CREATE FUNCTION some_books() RETURNS SETOF books LANGUAGE sql STABLE AS 'SELECT * FROM books ORDER BY id LIMIT 2';
CREATE FUNCTION size_of(bytea) RETURNS int LANGUAGE sql STABLE AS 'SELECT length($1)';
CREATE FUNCTION upper_of(text) RETURNS text LANGUAGE sql STABLE AS 'SELECT upper($1)';
CREATE FUNCTION root_of(xml) RETURNS text LANGUAGE sql STABLE AS $$SELECT (xpath('name(/*)', $1))[1]::text$$;
CREATE FUNCTION echo(bytea) RETURNS "image/png" LANGUAGE sql STABLE AS 'SELECT $1::"image/png"';
"""
LINES, BOOKS = "application/vnd.lines", "application/vnd.books+json"


@pytest.fixture(scope="module", autouse=True)
def handlers(project):
    project.admin.execute(SCHEMA)


def ask(project, target, accept, **more):
    return project.get(target, headers={"Accept": accept}, **more)


@pytest.mark.parametrize(
    ("target", "accept", "kind", "body"),
    [
        ("/rpc/plain?who=Ada", "text/plain", "text/plain; charset=utf-8", b"dear Ada"),
        ("/rpc/plain?who=Ada", "*/*", "application/json; charset=utf-8", b'"dear Ada"'),
        ("/rpc/picture", "image/png", "image/png", b"\x89PNG\0\n\xff"),
        ("/rpc/picture", "image/webp, image/png;q=0.5", "image/png", b"\x89PNG\0\n\xff"),
        ("/rpc/anything", "*/*", "application/octet-stream", b"\0\xff"),
        ("/rpc/anything", "audio/ogg", "application/octet-stream", b"\0\xff"),
        ("/books?select=title&id=lt.3&order=id", LINES, LINES, b'{"title":"One"}\n{"title":"Two"}\n'),
        ("/books?id=lt.3&order=id", BOOKS, BOOKS, b'["One", "Two"]'),
        ("/rpc/some_books", BOOKS, BOOKS, b'["One", "Two"]'),
        ("/rpc/some_books?select=title", LINES, LINES, b'{"title":"One"}\n{"title":"Two"}\n'),
    ],
)
def test_an_answer_has_the_media_type_that_the_database_makes(project, target, accept, kind, body):
    response = ask(project, target, accept)
    assert (response.status_code, response.headers["Content-Type"], response.data) == (200, kind, body)


@pytest.mark.parametrize(
    ("target", "accept"),
    [
        ("/books?select=id,title", BOOKS),  # its aggregate takes whole books
        ("/books?select=*,authors(name)", BOOKS),
        ("/authors", BOOKS),
        ("/books", "text/plain"),
        ("/rpc/plain?who=Ada", "image/png"),
    ],
)
def test_a_media_type_that_nothing_makes_is_not_acceptable(project, target, accept):
    response = ask(project, target, accept)
    assert (response.status_code, response.json["code"]) == (406, "PGRST107")


def test_active_media_types_are_plain_text_below_the_platforms_address(project):
    response = ask(project, "/rpc/page", "text/html")
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Content-Security-Policy"].startswith("sandbox")
    assert ask(project, "/rpc/document", "text/xml").headers["Content-Type"] == "text/plain; charset=utf-8"


def test_a_server_of_its_own_sends_the_type_that_was_asked_for(server):
    status, _, headers, body = server.ask("GET", "/rpc/page", Accept="text/html")
    assert (status, headers["Content-Type"], body) == (200, "text/html", b"<script>alert(1)</script>")
    _, _, headers, body = server.ask("GET", "/rpc/document", Accept="text/xml")
    assert (headers["Content-Type"], body) == ("text/xml; charset=utf-8", "<a>ä</a>".encode())


def test_a_handler_runs_as_the_caller_within_the_requests_transaction(project):
    assert ask(project, "/rpc/whose", "text/plain", role="anon").text == f"{project.id}_anon"


@pytest.mark.parametrize("prefer", ["return=representation", "return=minimal"])
def test_what_a_write_returns_has_it_too(project, prefer):
    response = project.call(
        "POST", "/books?columns=title", body=[{"title": "New"}], headers={"Prefer": prefer, "Accept": BOOKS}
    )
    assert (response.status_code, response.data) == (201, b'["New"]' if "representation" in prefer else b"")


def test_a_head_request_names_the_type_and_counts(project):
    response = project.call("HEAD", "/books", headers={"Accept": BOOKS, "Prefer": "count=exact"})
    assert (response.status_code, response.headers["Content-Type"]) == (200, BOOKS)
    assert (response.headers["Content-Range"], response.data) == ("0-2/3", b"")
    counted = ask(project, "/rpc/some_books", BOOKS)
    assert counted.headers["Content-Range"] == "0-1/*"


def test_bytes_are_counted_and_limited_as_any_answer_is(project):
    project.admin.execute(
        'CREATE FUNCTION long_picture(n int) RETURNS "image/png" LANGUAGE sql STABLE AS '
        "$$SELECT convert_to(repeat('a', n), 'UTF8')::\"image/png\"$$"
    )
    assert len(ask(project, f"/rpc/long_picture?n={20 * 1024 * 1024}", "image/png").data) == 20 * 1024 * 1024
    response = ask(project, f"/rpc/long_picture?n={33 * 1024 * 1024}", "image/png")
    assert (response.status_code, response.json["code"]) == (400, "54000")


def test_a_handler_counts_from_when_it_is_made_to_when_it_is_dropped(project):
    project.admin.execute(
        'CREATE FUNCTION late() RETURNS "text/plain" LANGUAGE sql STABLE AS $$SELECT \'x\'::"text/plain"$$'
    )
    assert ask(project, "/rpc/late", "text/plain").text == "x"
    project.admin.execute(
        "DROP FUNCTION late(); CREATE FUNCTION late() RETURNS text LANGUAGE sql STABLE AS $$SELECT 'x'$$"
    )
    assert ask(project, "/rpc/late", "text/plain").status_code == 406


@pytest.mark.parametrize(
    ("function", "kind", "body", "answer"),
    [
        ("size_of", "application/octet-stream", b"\0\xff\\x41'", b"7"),
        ("size_of", "application/octet-stream", b"", b"0"),
        ("upper_of", "text/plain", "ä';--".encode(), '"Ä\';--"'.encode()),
        ("root_of", "text/xml", b"<a><b/></a>", b'"a"'),
    ],
)
def test_a_function_takes_a_body_as_it_is(project, function, kind, body, answer):
    sent = {"Authorization": f"Bearer {project.key('service_role')}"}
    response = project.client.post(f"/db/{project.id}/rpc/{function}", data=body, content_type=kind, headers=sent)
    assert (response.status_code, response.data) == (200, answer)


def test_bytes_that_are_sent_come_back_the_same(project):
    sent = {"Authorization": f"Bearer {project.key('service_role')}", "Accept": "image/png"}
    body = bytes(range(256)) * 40
    for _ in range(7):  # at first as it is, then prepared
        response = project.client.post(
            f"/db/{project.id}/rpc/echo", data=body, content_type="application/octet-stream", headers=sent
        )
        assert (response.status_code, response.data) == (200, body)

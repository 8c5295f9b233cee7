"""Selecting rows: columns, filters, order, ranges, counts and media types."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("id=eq.1", ["One"]),
        ("id=neq.1", ["Two", "Three"]),
        ("id=not.eq.1", ["Two", "Three"]),
        ("id=gt.1&id=lt.3", ["Two"]),
        ("id=gte.2", ["Two", "Three"]),
        ("id=in.(1,3)", ["One", "Three"]),
        ('title=in.("One","x,y")', ["One"]),
        ("title=like.T*", ["Two", "Three"]),
        ("title=ilike(any).{o*,tw*}", ["One", "Two"]),
        ("title=match.^T", ["Two", "Three"]),
        ("pages=is.null", ["Three"]),
        ("pages=not.is.null", ["One", "Two"]),
        ("pages=isdistinct.10", ["Two", "Three"]),
        ("tags=cs.{a}", ["One"]),
        ("tags=cd.{b}", ["Two", "Three"]),
        ("tags=ov.{a,z}", ["One"]),
        ("about->k->>n=eq.1", ["One"]),
        ("or=(id.eq.1,and(id.gt.2,title.eq.Three))", ["One", "Three"]),
        ("not.or=(id.eq.1,id.eq.2)", ["Three"]),
        ("title=fts(english).two", ["Two"]),
        ("limit=1&offset=1", ["Two"]),
    ],
)
def test_a_filter_selects_the_rows_it_names(project, query, titles):
    response = project.get(f"/books?select=title&order=id&{query}")
    assert response.status_code == 200, response.text
    assert [row["title"] for row in response.json] == titles


@pytest.mark.parametrize(
    ("select", "row"),
    [
        ("id,name:title", {"id": 1, "name": "One"}),
        ("pages::text", {"pages": "10"}),
        ("about->k", {"k": {"n": 1}}),
        ("n:about->k->>n", {"n": "1"}),
        ("title,authors(name)", {"title": "One", "authors": {"name": "Ada"}}),
        ("...authors(name)", {"name": "Ada"}),
        ('"odd % name"', {"odd % name": None}),
    ],
)
def test_a_select_list_shapes_the_row(project, select, row):
    assert project.get("/books", query_string={"id": "eq.1", "select": select}).json == [row]


def test_many_rows_are_embedded_as_an_array(project):
    response = project.get("/authors?select=name,books(title)&order=id&books.order=id.desc")
    assert response.json[0] == {"name": "Ada", "books": [{"title": "Two"}, {"title": "One"}]}


def test_an_exact_count_makes_a_part_partial_content(project):
    response = project.get("/books?limit=2", headers={"Prefer": "count=exact"})
    assert (response.status_code, response.headers["Content-Range"]) == (206, "0-1/3")


def test_a_range_header_limits_the_rows(project):
    response = project.get("/books?order=id", headers={"Range": "1-1", "Range-Unit": "items"})
    assert (response.headers["Content-Range"], len(response.json)) == ("1-1/*", 1)


def test_an_offset_beyond_the_end_is_not_satisfiable(project):
    response = project.get("/books?offset=9", headers={"Prefer": "count=exact"})
    assert (response.status_code, response.json["code"]) == (416, "PGRST103")


def test_a_single_object_is_refused_when_there_are_more(project):
    response = project.get("/books", headers={"Accept": "application/vnd.pgrst.object+json"})
    assert (response.status_code, response.json["details"]) == (406, "The result contains 3 rows")


def test_csv_has_a_header_line(project):
    response = project.get("/books?select=id,title&id=eq.1", headers={"Accept": "text/csv"})
    assert response.text == "id,title\n1,One"


def test_stripped_nulls_leave_no_key(project):
    accept = "application/vnd.pgrst.array+json;nulls=stripped"
    assert project.get("/books?select=id,pages&id=eq.3", headers={"Accept": accept}).json == [{"id": 3}]


def test_head_answers_without_a_body(project):
    response = project.call("HEAD", "/books", headers={"Prefer": "count=exact"})
    assert (response.status_code, response.data, response.headers["Content-Range"]) == (200, b"", "0-2/3")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/books?select=*,pg_sleep(10)", 400, "PGRST200"),
        ("/books?select=secret:auth.users(encrypted_password)", 400, "PGRST100"),
        ("/books?order=id;--", 400, "PGRST100"),
        ("/books?limit=-1", 416, "PGRST103"),
        ("/books?id=1", 400, "PGRST100"),
        ("/books?id=eq.x", 400, "22P02"),
        ("/books?nothing=eq.1", 400, "42703"),
        ("/books?title=eq.%00", 400, "PGRST100"),
        ("/nothing", 404, "PGRST205"),
        ("/users", 404, "PGRST205"),
        ("/books/1", 404, "PGRST125"),
        ("/rpc/nothing", 404, "PGRST202"),
        ("/books?id=eq.9" + "9" * 20000, 414, "PGRST125"),
        ("/books?select=" + "a(" * 200, 400, "PGRST100"),
        ("/books?or=" + "(and" * 200, 400, "PGRST100"),
    ],
)
def test_a_bad_request_is_refused_in_the_error_shape(project, path, status, code):
    response = project.get(path)
    assert (response.status_code, response.json["code"]) == (status, code), response.text
    assert set(response.json) == {"code", "message", "details", "hint"}
    assert response.headers["Proxy-Status"] == f"PostgREST; error={code}"


@pytest.mark.parametrize("schema", ["auth", "pg_catalog", "launchdb", "platform"])
def test_a_schema_that_is_not_exposed_is_refused(project, schema):
    assert project.get("/users", headers={"Accept-Profile": schema}).status_code == 406


def test_functions_are_called_with_named_arguments(project):
    assert project.get("/rpc/add?a=1&b=2").json == 3
    assert project.call("POST", "/rpc/add", body={"a": 4}).json == 5


def test_a_function_that_writes_is_refused_by_get(project):
    assert project.get("/rpc/forget").status_code == 405, "A GET changes nothing, whatever function it calls"


def test_a_raised_status_becomes_the_answers_status(project):
    assert project.call("POST", "/rpc/pay", body={}).status_code == 402


def test_a_change_of_the_schema_is_seen_at_once_where_it_is_missed(project):
    assert project.get("/later").status_code == 404
    project.admin.execute("CREATE TABLE later AS SELECT 1 AS id")
    assert project.get("/later").json == [{"id": 1}]
    project.admin.execute("ALTER TABLE later ADD COLUMN more int")
    assert project.get("/later?select=more").json == [{"more": None}]
    response = project.call("POST", "/later", body={"more": 2}, headers={"Prefer": "return=representation"})
    assert response.json == [{"id": None, "more": 2}]
    project.admin.execute("DROP TABLE later")

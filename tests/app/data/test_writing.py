"""Inserting, updating and deleting rows."""

from __future__ import annotations

import pytest

SHOWN = {"Prefer": "return=representation"}
COMMITTED = {"Prefer": "return=representation, tx=commit"}


def test_an_insert_returns_what_was_asked_for(project):
    response = project.call("POST", "/books?select=title,pages", body={"title": "New", "pages": 3}, headers=SHOWN)
    assert (response.status_code, response.json) == (201, [{"title": "New", "pages": 3}])


def test_a_minimal_insert_returns_nothing(project):
    response = project.call("POST", "/books", body={"title": "New"})
    assert (response.status_code, response.data) == (201, b"")


def test_headers_only_name_the_new_row(project):
    response = project.call("POST", "/books", body={"id": 7, "title": "x"}, headers={"Prefer": "return=headers-only"})
    assert response.headers["Location"] == "/books?id=eq.7"


def test_missing_columns_take_their_default_when_asked(project):
    body = [{"title": "a"}, {"pages": 2}]
    response = project.call(
        "POST", "/books?columns=title,pages&select=title,pages", body=body,
        headers={"Prefer": "return=representation, missing=default"},
    )  # fmt: skip
    assert response.json == [{"title": "a", "pages": None}, {"title": "untitled", "pages": 2}]


def test_an_upsert_merges_with_the_row_that_is_there(project):
    prefer = {"Prefer": "resolution=merge-duplicates, return=representation"}
    response = project.call("POST", "/authors", body={"id": 1, "name": "Eve"}, headers=prefer)
    assert (response.status_code, response.json) == (200, [{"id": 1, "name": "Eve"}])


def test_a_put_replaces_the_one_row(project):
    response = project.call("PUT", "/authors?id=eq.2", body={"id": 2, "name": "Rob"}, headers=SHOWN)
    assert response.json == [{"id": 2, "name": "Rob"}]


def test_an_update_touches_the_filtered_rows_only(project):
    response = project.call("PATCH", "/books?author_id=eq.1&select=id", body={"pages": 5}, headers=SHOWN)
    assert sorted(row["id"] for row in response.json) == [1, 2]


def test_a_delete_is_rolled_back_when_not_exactly_one_row_went(project):
    headers = {**COMMITTED, "Accept": "application/vnd.pgrst.object+json"}
    assert project.call("DELETE", "/books?id=gt.0", headers=headers).status_code == 406
    assert len(project.get("/books").json) == 3


def test_more_rows_than_allowed_are_not_changed(project):
    headers = {"Prefer": "handling=strict, max-affected=1, tx=commit"}
    response = project.call("PATCH", "/books", body={"pages": 9}, headers=headers)
    assert (response.status_code, response.json["code"]) == (400, "PGRST124")
    assert project.get("/books?pages=eq.9").json == []


def test_a_committed_write_stays(project):
    project.call("POST", "/authors", body={"id": 9, "name": "Zed"}, headers=COMMITTED)
    assert project.get("/authors?id=eq.9&select=name").json == [{"name": "Zed"}]
    assert project.call("DELETE", "/authors?id=eq.9", headers=COMMITTED, body={}).json == [{"id": 9, "name": "Zed"}]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "PGRST102"),
        (b"", 400, "PGRST102"),
        (b'{"title": NaN}', 400, "PGRST102"),
        (b'{"title": "a", "title": "b"}', 400, "PGRST102"),
        (b'{"title": "\\u0000"}', 400, "PGRST102"),
        (b'{"title": "\\ud800"}', 400, "PGRST102"),
        (b'{"title": "\xff"}', 400, "PGRST102"),
        (b"[" * 5000 + b"]" * 5000, 400, "PGRST102"),
        (b'{"pages": ' + b"9" * 5000 + b"}", 400, "PGRST102"),
        (b'{"pages": 1e999}', 400, "22P02"),
        (b'[{"title": "a"}, {"pages": 1}]', 400, "PGRST102"),
        (b'{"nothing": 1}', 400, "PGRST204"),
        (b'{"pages": -1}', 400, "23514"),
        (b'{"author_id": 99}', 409, "23503"),
        (b'{"id": 1}', 409, "23505"),
        (b'{"title": null}', 400, "23502"),
    ],
)
def test_a_bad_body_is_refused_and_changes_nothing(project, body, status, code):
    response = project.call("POST", "/books", body=body, headers=COMMITTED)
    assert (response.status_code, response.json["code"]) == (status, code), response.text
    assert len(project.get("/books").json) == 3


def test_a_body_over_the_limit_is_refused(project):
    response = project.call("POST", "/books", body=b'{"title": "' + b"x" * 10_500_000 + b'"}')
    assert response.status_code == 413


def test_a_compressed_body_is_refused(project):
    assert project.call("POST", "/books", body=b"x", headers={"Content-Encoding": "gzip"}).status_code == 415

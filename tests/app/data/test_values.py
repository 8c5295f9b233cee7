"""What a client sends as a value stays a value, in every operator and wherever it stands; and how many rows it brings."""

from __future__ import annotations

import json

import pytest

from app.data.names import Name
from app.data.parse import filters
from app.data.parse.terms import Filter
from app.data.sql.conditions import where_sql
from app.data.sql.fragments import Parameters

MARK = "zq"
OPERATORS = [
    *(f"{name}.{{}}" for name in sorted(filters.QUANTIFIED | filters.PLAIN | filters.SEARCHES)),
    *(f"{name}(any).{{{{{{}}}}}}" for name in sorted(filters.QUANTIFIED)),
    *(f"{name}(english).{{}}" for name in sorted(filters.SEARCHES)),
    'in.("{}",x)',
]
UNFIT = [
    "'",
    "''; DROP TABLE books; --",
    '"',
    "\\",
    "\\'",
    "/* x",
    "*/",
    "--",
    "$1",
    "%s",
    "%(p0)s",
    "{x}",
    "\\0",
    "x'y\\",
]


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_value_is_never_in_the_text_of_a_statement(operator):
    values = Parameters()
    text = operator.format(f"{MARK}'--")
    for place in ("title", f"about->>{MARK}"):
        path, field = filters.read_filter_target(place)
        assert path == ()
        written = where_sql(Filter(field, filters.read_operation(text)), Name("public", "books"), None, values)
        assert MARK not in written.as_string(None), (
            f"What a client sends is never in the text of a statement: {operator}"
        )
    assert MARK in str(values.held), "it is a parameter"


@pytest.mark.parametrize("text", UNFIT)
def test_a_value_of_any_characters_is_found_as_it_is(project, text):
    project.admin.execute("INSERT INTO books (id, title) VALUES (9, %s)", (text,))
    quoted = json.dumps(text, ensure_ascii=False)
    for found in (f"eq.{text}", f"in.({quoted})", f"isdistinct.{text}x"):
        answer = project.get("/books", query_string={"select": "title", "title": found, "id": "eq.9"})
        assert (answer.status_code, answer.json) == (200, [{"title": text}]), (found, answer.text)
    project.admin.execute("DELETE FROM books WHERE id = 9")


def test_no_more_embedded_rows_come_than_are_allowed(project):
    project.admin.execute(
        "CREATE TABLE shelves (id int PRIMARY KEY); INSERT INTO shelves VALUES (1);"
        "CREATE TABLE volumes (id int PRIMARY KEY, shelf int REFERENCES shelves);"
        "INSERT INTO volumes SELECT n, 1 FROM generate_series(1, 1200) n"
    )
    assert len(project.get("/volumes").json) == 1000
    rows = project.get("/shelves?select=volumes(id)").json[0]["volumes"]
    assert len(rows) == 1000, "No more rows come than db-max-rows allows, embedded ones neither"


def test_a_filter_on_embedded_rows_leaves_out_the_others(project):
    rows = project.get("/authors?select=books(title)&id=eq.1&books.title=eq.One").json
    assert rows == [{"books": [{"title": "One"}]}], "A filter on embedded rows leaves the others out"

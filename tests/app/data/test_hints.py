"""What a fault suggests: the name that was meant, by letters in common."""

from __future__ import annotations

import pytest

from app.data.plan.similar import LISTS_SCORE, NAMES_SCORE, most_similar


@pytest.mark.parametrize(
    ("wanted", "known", "score", "found"),
    [
        ("bookss", ["books", "authors"], NAMES_SCORE, "books"),
        ("BOOKS", ["books"], NAMES_SCORE, "books"),
        ("boks", ["books"], NAMES_SCORE, "books"),
        ("bo", ["books"], NAMES_SCORE, None),
        ("noclosealternative", ["roles", "films"], LISTS_SCORE, None),
        ("role", ["directors", "roles", "actors"], LISTS_SCORE, "roles"),
        ("(a, b, wrong_arg)", ["()", "(a, b)", "(a, b, c)", "(a, b, c, d)"], LISTS_SCORE, "(a, b, c)"),
        ("(wrong_arg)", ["()", "(a, b)", "(a, b, c)"], LISTS_SCORE, None),
        ("", ["books", ""], NAMES_SCORE, ""),
        ("", ["books"], NAMES_SCORE, None),
        ("ёж", ["ёжик"], LISTS_SCORE, "ёжик"),
        ("x", [], LISTS_SCORE, None),
    ],
)
def test_the_nearest_name_is_found_when_it_is_near_enough(wanted, known, score, found):
    assert most_similar(wanted, known, score) == found


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("/bookz", "Perhaps you meant the table 'public.books'"),
        ("/rpc/whoamy", "Perhaps you meant to call the function public.whoami"),
        ("/rpc/add?aa=1&b=2", "Perhaps you meant to call the function public.add(a, b)"),
        ("/books?select=auther(*)", "Perhaps you meant 'authors' instead of 'auther'."),
        ("/diaries?select=books(*)", None),
    ],
)
def test_a_fault_says_what_may_have_been_meant(project, target, hint):
    assert project.get(target).json["hint"] == hint


def test_relations_that_only_a_hidden_table_joins_are_not_called_misspelt(project):
    project.admin.execute(
        "CREATE SCHEMA inside; CREATE TABLE left_ends (id int PRIMARY KEY); CREATE TABLE right_ends (id int PRIMARY KEY);"
        "CREATE TABLE inside.joins (l int REFERENCES left_ends, r int REFERENCES right_ends, PRIMARY KEY (l, r))"
    )
    assert project.get("/left_ends?select=right_ends(*)").json["hint"] is None


def test_one_bracket_too_many_at_the_end_of_a_select_list_is_overlooked(project):
    assert project.get("/books?select=title,authors(name))&id=eq.1").json == [
        {"title": "One", "authors": {"name": "Ada"}}
    ]
    assert project.get("/books?select=title)x&id=eq.1").status_code == 200
    assert project.get("/books?select=authors(name)x").status_code == 400


def test_the_parts_of_a_request_are_timed_where_a_setting_says_so(project):
    assert "Server-Timing" not in project.get("/books").headers
    conf = project.folder / "data-api.conf"
    before = conf.read_text()
    conf.write_text(before + "server-timing-enabled = true\n")
    try:
        parts = [part.partition(";dur=") for part in project.get("/books").headers["Server-Timing"].split(", ")]
        assert [name for name, _, _ in parts] == ["jwt", "parse", "plan", "transaction", "response"]
        assert all(float(value) >= 0 for _, _, value in parts)
        assert project.call("OPTIONS", "/books").headers["Server-Timing"].startswith("jwt;dur=")
        assert "Server-Timing" not in project.get("/bookz").headers
    finally:
        conf.write_text(before)

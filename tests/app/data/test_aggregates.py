"""Aggregates, also over columns of relations that are spread into others."""

from __future__ import annotations

import pytest

SCHEMA = """
CREATE TABLE countries (id int PRIMARY KEY, name text);
CREATE TABLE cities (id int PRIMARY KEY, name text, people int, country_id int REFERENCES countries);
CREATE TABLE shops (id int PRIMARY KEY, sales numeric, city_id int REFERENCES cities);
INSERT INTO countries VALUES (1, 'A'), (2, 'B');
INSERT INTO cities VALUES (1, 'a1', 10, 1), (2, 'a2', 20, 1), (3, 'b1', 40, 2);
INSERT INTO shops VALUES (1, 1.5, 1), (2, 2.5, 1), (3, 3, 2), (4, 4, 3), (5, 5, NULL);
"""


@pytest.fixture(scope="module")
def counted(project):
    project.admin.execute(SCHEMA)
    conf = project.folder / "data-api.conf"
    before = conf.read_text()
    conf.write_text(before + "db-aggregates-enabled = true\n")
    yield project
    conf.write_text(before)


def test_aggregates_are_refused_by_default(project):
    for select in ("count()", "...authors(id.max())"):
        response = project.get(f"/books?select={select}")
        assert (response.status_code, response.json["code"]) == (400, "PGRST123")


@pytest.mark.parametrize(
    ("target", "rows"),
    [
        ("/shops?select=sales.sum()", [{"sum": 16.0}]),
        ("/shops?select=n:count(),most:sales.max()::text", [{"n": 5, "most": "5"}]),
        # Over the column of what is spread, in groups of the rest.
        (
            "/shops?select=city_id,...cities(people.sum())&order=city_id",
            [
                {"city_id": 1, "sum": 20},
                {"city_id": 2, "sum": 20},
                {"city_id": 3, "sum": 40},
                {"city_id": None, "sum": None},
            ],
        ),
        ("/shops?select=...cities(name,shops:count())&order=cities(name)", [
            {"name": "a1", "shops": 2}, {"name": "a2", "shops": 1}, {"name": "b1", "shops": 1},
            {"name": None, "shops": 0},
        ]),
        ("/shops?select=...cities(total:people.sum())", [{"total": 80}]),
        # Through two of them.
        ("/shops?select=...cities(...countries(country:name,count()))&order=count", [
            {"country": None, "count": 0}, {"country": "B", "count": 1}, {"country": "A", "count": 3},
        ]),
        ("/shops?select=sales.sum(),...cities(...countries(name))&cities.name=eq.b1&order=sum", [
            {"sum": 4, "name": "B"}, {"sum": 12.0, "name": None},
        ]),
        ("/cities?select=...countries(country:name,id.max()::text),people.avg()::int&order=country", [
            {"avg": 15, "country": "A", "max": "1"}, {"avg": 40, "country": "B", "max": "2"},
        ]),
        # In an embedded relation it stays where it is.
        ("/countries?select=name,cities(people.sum())&order=name", [
            {"name": "A", "cities": [{"sum": 30}]}, {"name": "B", "cities": [{"sum": 40}]},
        ]),
        ("/countries?select=...cities(name,shops(count()))&id=eq.2", [{"name": ["b1"], "shops": [[{"count": 1}]]}]),
    ],
)  # fmt: skip
def test_an_aggregate_is_computed_where_its_column_ends_up(counted, target, rows):
    if "order=count" in target or "order=sum" in target or "order=country" in target:
        target, _, key = target.partition("&order=")
        found = sorted(counted.get(target).json, key=lambda row: (row[key] is not None, str(row[key])))
        assert found == sorted(rows, key=lambda row: (row[key] is not None, str(row[key])))
        return
    response = counted.get(target)
    assert (response.status_code, response.json) == (200, rows)


@pytest.mark.parametrize("select", ["...cities(people.sum())", "...cities(...countries(count()))"])
def test_many_rows_that_are_spread_have_no_aggregates(counted, select):
    response = counted.get(f"/countries?select={select}")
    assert (response.status_code, response.json["code"]) == (400, "PGRST127")

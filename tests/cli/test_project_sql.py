"""SQL from the command line: by the API, and by psql with the password out of sight."""

from __future__ import annotations

import pytest

from tests.cli.test_nouns import shop, worker  # noqa: F401 - fixtures


@pytest.fixture
def sql(launchdb, shop):  # noqa: F811
    def run(*arguments, **more):
        return launchdb.run("projects", "sql", *arguments, **more)

    return run


def test_sql_and_psql_reach_the_project_as_its_owner(launchdb, sql, shop, tmp_path):  # noqa: F811
    project = shop.json["project"]["id"]
    assert sql("shop", "CREATE TABLE notes (id int, text text)").code == 0
    shown = sql("shop", "INSERT INTO notes VALUES (1, 'one'), (2, NULL) RETURNING *")
    assert [line.split() for line in shown.out.splitlines()] == [["ID", "TEXT"], ["1", "one"], ["2", "-"]]
    assert "INSERT 0 2: 2 rows" in shown.err
    script = tmp_path / "script.sql"
    script.write_text("SELECT 1; SELECT count(*) AS n FROM notes;")
    assert sql("shop", "-f", str(script), "--json").json["rows"] == [{"n": 2}]
    refused = sql("shop", "SELECT nothing")
    assert (refused.code, refused.out) == (2, "")
    assert "nothing" in refused.err
    assert sql("shop", "SELECT pg_sleep(9)", "--timeout-ms", "200").code == 2
    assert sql(project).code == 2
    launchdb.environment["LAUNCHDB_PROJECT"] = "shop"
    assert sql("SELECT 7 AS seven").out.split() == ["SEVEN", "7"]
    where = launchdb.run("projects", "psql", "--json")
    assert (where.json["user"], where.json["dbname"]) == (f"{project}_owner", project)
    assert "password" not in where.json
    typed = launchdb.run("projects", "psql", stdin="\\pset format unaligned\nSELECT current_user;\n")
    assert typed.code == 0, typed.err
    assert f"{project}_owner" in typed.out

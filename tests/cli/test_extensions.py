"""launchdb projects extensions: listed, installed and dropped by jobs."""

from __future__ import annotations

from tests.cli.test_nouns import shop, worker  # noqa: F401 - fixtures


def test_an_extension_is_listed_added_and_removed(launchdb, shop):  # noqa: F811
    def run(*arguments):
        return launchdb.run("projects", "extensions", *arguments, timeout=70)

    def known():
        listed = run("list", "shop", "--json")
        assert listed.code == 0, listed.err
        return {row["name"]: row for row in listed.json["extensions"]}

    assert not known()["citext"]["installed"]
    added = run("add", "shop", "citext", "--timeout", "60")
    assert (added.code, added.out) == (0, "citext installed\n"), added.err
    assert known()["citext"]["installed"]
    shown = next(line for line in run("list", "shop").out.splitlines() if line.startswith("citext"))
    assert shown.split()[2] == "yes"
    query = "CREATE TABLE people (name citext)"
    assert launchdb.run("projects", "sql", "shop", query).code == 0
    assert run("remove", "shop", "citext", "--timeout", "60").code == 3, "a column needs it"
    assert known()["citext"]["installed"]
    launchdb.environment["LAUNCHDB_PROJECT"] = "shop"
    removed = run("remove", "citext", "--cascade", "--timeout", "60", "--json")
    assert (removed.code, removed.json["job"]["status"]) == (0, "succeeded"), removed.err
    assert not known()["citext"]["installed"]
    assert run("add", "plpython3u").code != 0
    assert run("add", "one", "two", "three").code == 2

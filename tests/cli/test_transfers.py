"""launchdb backups export, import: a project moves in one file, from the command line."""

from __future__ import annotations

import pytest

from catalog import names
from tests.cli.test_nouns import shop, worker
from tests.fixtures.projects import drop, stored_tenant

__all__ = ["shop", "worker"]
WAIT = ("--timeout", "60")


@pytest.fixture
def notes(shop, infra):
    """A project with rows; return its id."""
    project = shop.json["project"]["id"]
    with stored_tenant(infra, project).connect(names.roles(project).owner) as owner:
        owner.execute("CREATE TABLE notes AS SELECT n FROM generate_series(1, 42) n")
    return project


def count(infra, project):
    with stored_tenant(infra, project).connect(names.roles(project).owner) as owner:
        return owner.execute("SELECT count(*) FROM notes").fetchone()[0]


@pytest.mark.gpg
def test_exported_and_imported_beside_the_first(launchdb, notes, infra, home, tmp_path):
    told = launchdb.run("backups", "export", "shop", "--to", str(tmp_path / "shop.gpg"), *WAIT, timeout=70)
    assert told.code == 0, told.err
    place, passphrase = told.out.splitlines()
    assert (place, len(passphrase) >= 32) == (str(tmp_path / "shop.gpg"), True)
    assert (tmp_path / "shop.gpg").stat().st_mode & 0o777 == 0o600
    taken = launchdb.run("backups", "import", place, "--passphrase-stdin", stdin=f"{passphrase}\n")
    assert (taken.code, "import it with new keys" in taken.err) == (4, True)
    asked = ("backups", "import", place, "--keys", "new", "--name", "copy", "--passphrase-stdin", "--json", *WAIT)
    made = launchdb.run(*asked, stdin=f"{passphrase}\n", timeout=70)
    assert made.code == 0, made.err
    project = made.json["project"]["id"]
    try:
        assert made.json["project"]["name"] == "copy"
        assert made.json["project"]["status"] == "active" or made.json["job"]["status"] == "succeeded"
        assert count(infra, project) == count(infra, notes) == 42
        assert list((home / "imports").iterdir()) == []
        assert passphrase not in made.out + made.err
    finally:
        drop(infra, project)


@pytest.mark.gpg
def test_a_passphrase_of_ones_own_and_a_wrong_one(launchdb, notes, home, tmp_path):
    mine, target = "a passphrase of my own", str(tmp_path / "shop.gpg")
    words = ("backups", "export", "shop", "--to", target, "--passphrase-stdin")
    assert launchdb.run(*words, stdin="short\n").code in (1, 2)
    assert launchdb.run(*words, *WAIT, stdin=f"{mine}\n", timeout=70).code == 0
    wrong = launchdb.run("backups", "import", target, "--keys", "new", "--name", "copy", "--passphrase-stdin",
                         stdin="not the passphrase\n")  # fmt: skip
    assert wrong.code != 0
    assert "the passphrase is another one" in wrong.err
    assert list((home / "imports").iterdir()) == [], "nothing is left of what was not taken"
    assert launchdb.run("projects", "show", "copy").code == 5


def test_a_file_that_is_not_there_is_said_before_anything_is_asked(launchdb, home, operator):
    assert launchdb.run("backups", "import", "/nowhere/shop.gpg", "--passphrase-stdin", stdin="x\n").code == 5


@pytest.mark.gpg
def test_what_does_not_come_back_is_said_and_can_be_agreed_to(launchdb, notes, infra):
    with stored_tenant(infra, notes).connect(names.roles(notes).owner) as owner:
        owner.execute(
            "SET app.tenant = '7'; CREATE MATERIALIZED VIEW mine AS SELECT current_setting('app.tenant') AS t"
        )
    assert launchdb.run("backups", "create", "shop", *WAIT, timeout=70).code == 0
    for words in (("verify", "shop"), ("restore", "shop", "--yes")):
        told = launchdb.run("backups", *words, *WAIT, timeout=70)
        assert told.code == 3, told.out
        assert "it does not come back whole" in told.err
        assert "--partial" in told.err
    assert "does not come back whole" in launchdb.run("backups", "list", "shop").out
    done = launchdb.run("backups", "restore", "shop", "--yes", "--partial", *WAIT, timeout=70)
    assert done.code == 0, done.err
    assert "it did not come back: filling of public.mine: it is missing" in done.out
    assert count(infra, notes) == 42

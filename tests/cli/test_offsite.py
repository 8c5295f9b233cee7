"""launchdb backups offsite, list --remote, pull: from the command line, as the guide says."""

from __future__ import annotations

import pytest

from infra.backup import sets
from jobs.engine import schedules
from tests.cli.test_nouns import worker

__all__ = ["worker"]
pytestmark = [pytest.mark.ssh, pytest.mark.gpg]


@pytest.fixture
def elsewhere(launchdb, ssh_server, infra):
    """The command line with another machine set."""
    with infra.database.transaction() as tx:
        schedules.declare(tx, offsite=True)
    launchdb.environment |= {"RSYNC_DEST": ssh_server.destination, "RSYNC_PORT": str(ssh_server.port)}
    return ssh_server


def test_prepared_tried_copied_listed_and_fetched(launchdb, elsewhere, operator, home, worker, infra):
    told = launchdb.run("backups", "offsite", stdin="y\n")
    assert told.code == 0, told.err
    assert elsewhere.fingerprint in told.err
    elsewhere.admit(told.out.strip())
    tried = launchdb.run("backups", "offsite", "--trial")
    assert (tried.code, "copying works" in tried.err) == (0, True), tried.err
    made = launchdb.run("backups", "create", "--all", "--timeout", "60", timeout=70)
    assert made.code == 0, made.err
    done = launchdb.run("schedules", "run", "offsite", "--timeout", "60", timeout=70)
    assert done.code == 0, done.err
    (stem,) = sets.stems(home / "backups")
    shown = launchdb.run("backups", "list", "--remote", "--json").json
    assert [(row["set"], row["alsoHere"]) for row in shown["backups"]] == [(stem, True)]
    assert launchdb.run("backups", "list", "proj_0123456789abcdef", "--remote", "--json").json == {"backups": []}
    kept = {path.name: path.read_bytes() for path in (home / "backups").iterdir()}
    for path in (home / "backups").iterdir():
        path.unlink()
    fetched = launchdb.run("backups", "pull")
    assert fetched.code == 0, fetched.err
    assert {path.name: path.read_bytes() for path in (home / "backups").iterdir()} == kept
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (home / "backups").iterdir())
    assert launchdb.run("backups", "pull", "platform_20200101_000000").code == 5


def test_a_host_that_is_not_confirmed_is_not_pinned(launchdb, elsewhere, home):
    assert launchdb.run("backups", "offsite", stdin="n\n").code == 130
    assert launchdb.run("backups", "offsite", "--accept", "SHA256:something else").code == 1
    assert not (home / "backup" / "ssh" / "known_hosts").exists()
    assert launchdb.run("backups", "offsite", "--accept", elsewhere.fingerprint).code == 0
    elsewhere.stop()
    elsewhere.new_host_key()
    elsewhere.start()
    asked = launchdb.run("backups", "offsite", stdin="n\n")
    assert (asked.code, "has CHANGED" in asked.err) == (130, True)


def test_a_set_that_was_changed_there_is_not_taken(launchdb, elsewhere, operator, home, worker):
    line = launchdb.run("backups", "offsite", "--accept", elsewhere.fingerprint)
    elsewhere.admit(line.out.strip())
    assert launchdb.run("backups", "create", "--all", "--timeout", "60", timeout=70).code == 0
    assert launchdb.run("schedules", "run", "offsite", "--timeout", "60", timeout=70).code == 0
    (stem,) = sets.stems(home / "backups")
    for path in (home / "backups").iterdir():
        path.unlink()
    copy = elsewhere.copies / f"{stem}.sql.gz.gpg"
    data = copy.read_bytes()
    copy.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refused = launchdb.run("backups", "pull")
    assert (refused.code, "was changed" in refused.err) == (1, True)
    assert list((home / "backups").iterdir()) == []


def test_without_a_destination_it_says_so(launchdb, home):
    for words in (("offsite",), ("pull",), ("list", "--remote")):
        refused = launchdb.run("backups", *words)
        assert (refused.code, "RSYNC_DEST is not set" in refused.err) == (1, True)

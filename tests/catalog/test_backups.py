"""What the catalogue says of backups: which of them are listed, and which retention may take."""

from __future__ import annotations

import pytest

from catalog import backups
from catalog.backups import BackupNotFound
from catalog.ids import new_id

PROJECT = "proj_0123456789abcdef"
RULES = {"days": 30, "count": 1, "final_days": 7}


@pytest.fixture
def add(infra):
    """Write a backup's row; return its id. days: its age."""

    def write(days, *, proven=False, finished=True):
        backup_id = new_id("bkp")
        with infra.database.autocommit() as tx:
            tx.execute(
                "INSERT INTO backups (id, scope, stem, format, key_id, created_at, finished_at, verified_at, bytes,"
                " database_bytes, sha256, duration_ms) VALUES (%(id)s, %(scope)s, %(id)s, 'sql.gz', 'k', now() - %(age)s::interval,"
                " CASE WHEN %(finished)s THEN now() - %(age)s::interval END, CASE WHEN %(proven)s THEN now() END, 1, 1, 'x', 1)",
                {
                    "id": backup_id,
                    "scope": PROJECT,
                    "age": f"{days} days",
                    "finished": finished,
                    "proven": proven,
                },
            )
        return backup_id

    return write


def doomed(infra):
    with infra.database.autocommit() as tx:
        return {row["id"] for row in backups.expired(tx, **RULES)}


def test_retention_never_takes_what_was_proven_last_however_old(infra, add):
    unproven = [add(400), add(300), add(5)]
    assert doomed(infra) == set(), "nothing was proven yet"
    older, last = add(200, proven=True), add(100, proven=True)
    found = doomed(infra)
    assert last not in found, "Retention never takes the backup that was proven last, however old it is"
    assert found == {*unproven[:2], older}


def test_a_backup_that_was_not_written_to_its_end_is_none(infra, add):
    whole, half = add(2), add(1, finished=False)
    with infra.database.autocommit() as tx:
        listed = [backup.id for backup in backups.page(tx, PROJECT, before=None, limit=50)]
        assert listed == [whole], "A backup that was not written to its end is not listed"
        with pytest.raises(BackupNotFound):
            backups.find(tx, half)
            pytest.fail("A backup that was not written to its end is not to be had")

"""Copies of projects' files on another machine: each content goes over once, and comes back with the sets that need it."""

from __future__ import annotations

import shutil

import pytest

from catalog import backups
from infra.backup.offsite import Offsite
from infra.backup.pulling import pull_sets
from infra.files import ensure_folder
from jobs.backup import backups as sets
from jobs.kinds.backup.backup import BackupProject
from jobs.kinds.backup.forget_backup import ForgetBackup
from jobs.kinds.backup.sync_offsite import SyncOffsite
from tests.fixtures.stored_files import StoredFiles

pytestmark = [pytest.mark.ssh, pytest.mark.gpg]
FIRST = {"a.txt": b"one", "b.txt": b"two" * 1000}


class Copies:
    """A project with files, its backups, and the machine that they are copied to."""

    def __init__(self, life, server) -> None:
        self.life, self.engine, self.infra, self.id, self.server = life, life.engine, life.infra, life.id, server
        life.provision()
        self.infra.settings = self.infra.settings.model_copy(
            update={"rsync_dest": server.destination, "rsync_port": server.port}
        )
        self.there = Offsite(self.infra.settings)
        server.admit(self.there.prepare())
        self.there.pin(self.there.host_key()[0])
        self.files = StoredFiles(self.infra, self.id)
        self.files.put(**FIRST)

    @property
    def folder(self):
        return self.infra.settings.backups_folder

    def do(self, arguments):
        job = self.engine.enqueue(arguments)
        self.engine.runner.drain()
        return self.engine.job(job.id)

    def back_up(self):
        job = self.do(BackupProject(self.id))
        assert (job.status, job.error) == ("succeeded", None)
        with self.infra.database.autocommit() as tx:
            return backups.find(tx, job.result["backupId"])

    def sync(self):
        job = self.do(SyncOffsite())
        assert (job.status, job.error) == ("succeeded", None)

    def is_known_there(self, backup) -> bool:
        with self.infra.database.autocommit() as tx:
            return backup.stem in backups.offsite_stems(tx)

    def elsewhere(self) -> dict[str, int]:
        """Return the copies of files there, by their paths, with what tells one file from another."""
        folder = self.server.copies
        return {str(path.relative_to(folder)): path.stat().st_ino for path in (folder / "files").rglob("*.gpg")}

    def pull(self, *wanted) -> list[str]:
        incoming = ensure_folder(self.infra.settings.home / "incoming")
        return list(pull_sets(self.there, sets.store(self.infra), incoming, [backup.stem for backup in wanted]))


@pytest.fixture
def copies(life, ssh_server):
    return Copies(life, ssh_server)


def test_each_content_goes_over_once_and_sets_come_back_with_what_they_need(copies):
    first = copies.back_up()
    copies.sync()
    before = copies.elsewhere()
    assert (len(before), copies.is_known_there(first)) == (len(FIRST), True)
    copies.files.put(**{"a.txt": b"another", "new.txt": b"three"})
    second = copies.back_up()
    copies.sync()
    after = copies.elsewhere()
    assert (len(after), copies.is_known_there(second)) == (len(FIRST) + 2, True)
    assert before.items() <= after.items(), "what is there does not go over again"
    lying = {str(path.relative_to(copies.folder)): path.read_bytes() for path in copies.folder.rglob("*.gpg")}
    shutil.rmtree(copies.folder)
    assert copies.pull(first, second) == [first.stem, second.stem]
    assert {str(path.relative_to(copies.folder)): path.read_bytes() for path in copies.folder.rglob("*.gpg")} == lying


def test_a_copy_that_was_changed_there_is_named_and_its_set_not_taken(copies):
    backup = copies.back_up()
    copies.sync()
    path = max((copies.server.copies / "files").rglob("*.gpg"), key=lambda each: each.stat().st_size)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    shutil.rmtree(copies.folder)
    with pytest.raises(Exception, match=r"docs/b\.txt: its copy was changed"):
        copies.pull(backup)
    assert sets.store(copies.infra).stems() == []


def test_a_copy_that_differs_there_keeps_its_set_from_counting_as_copied(copies):
    backup = copies.back_up()
    path = max((copies.folder / "files").rglob("*.gpg"), key=lambda each: each.stat().st_size)
    there = copies.server.copies / path.relative_to(copies.folder)
    there.parent.mkdir(parents=True)
    there.write_bytes(bytes(path.stat().st_size))
    job = copies.do(SyncOffsite())
    assert (job.status, path.name in job.error["detail"]) == ("failed", True)
    assert not copies.is_known_there(backup)


def test_what_no_set_there_needs_any_more_goes_with_the_last_that_did(copies):
    copies.infra.settings = copies.infra.settings.model_copy(
        update={"offsite_retention_days": 30, "backup_retention_count": 1}
    )
    first = copies.back_up()
    copies.sync()
    copies.files.remove("b.txt")
    copies.files.put(**{"new.txt": b"three"})
    second = copies.back_up()
    copies.sync()
    assert len(copies.elsewhere()) == 3
    with copies.infra.database.autocommit() as tx:
        tx.execute("UPDATE backups SET verified_at = now() WHERE id = %s", (second.id,))
        tx.execute("UPDATE backups SET stem = left(stem, -15) || '20200101_000000' WHERE id = %s", (first.id,))
    # What lies there is as old as its name.
    for path in copies.server.copies.glob(f"{first.stem}.*"):
        path.rename(path.with_name(path.name.replace(first.stem, f"{first.stem[:-15]}20200101_000000")))
    copies.do(ForgetBackup(copies.id, first.id))
    sets.store(copies.infra).remove(first.stem)
    copies.sync()
    assert {path.name.partition(".")[0] for path in copies.server.copies.glob("*.json")} == {second.stem}
    assert len(copies.elsewhere()) == 2

"""The files of a project in its backups: copied once, read back, and brought back with the rows that name them."""

from __future__ import annotations

import os
import subprocess

import pytest

from catalog import backups, job_secrets
from infra.backup import archive
from infra.backup.objects.hold import FilesHold
from infra.backup.objects.part import ObjectsPart
from infra.errors import Refused
from infra.files import ensure_folder
from infra.postgres import migrations
from jobs.backup import backups as sets
from jobs.backup.exports import path_of
from jobs.engine import commands
from jobs.kinds.backup.backup import BackupProject
from jobs.kinds.backup.export import ExportProject
from jobs.kinds.backup.forget_backup import ForgetBackup
from jobs.kinds.backup.forget_database import ForgetDatabase
from jobs.kinds.backup.import_ import ImportProject
from jobs.kinds.backup.restore import RestoreProject
from jobs.kinds.backup.undo_restore import UndoRestore
from jobs.kinds.backup.verify_backup import VerifyBackup
from jobs.kinds.project.delete import DeleteProject
from tests.crash.test_fleet_of_backups import mounted
from tests.fixtures.projects import add_project, drop, stored_tenant
from tests.fixtures.stored_files import StoredFiles

pytestmark = pytest.mark.gpg
FIRST = {"a.txt": b"one", "b.txt": b"two" * 1000, "empty": b"", "same.txt": b"one"}


class Shop:
    """A project with files, and what is done about its backups."""

    def __init__(self, life) -> None:
        self.life, self.engine, self.infra, self.id = life, life.engine, life.infra, life.id
        life.provision()
        self.files = StoredFiles(self.infra, self.id)
        self.made = []

    @property
    def folder(self):
        return self.infra.settings.backups_folder

    @property
    def copies(self):
        """Where the copies of its files lie."""
        return self.folder / "files" / self.id

    def lying(self) -> list:
        return sorted(self.copies.rglob("*.gpg")) if self.copies.exists() else []

    def do(self, arguments):
        job = self.engine.enqueue(arguments)
        self.engine.runner.drain()
        return self.engine.job(job.id)

    def back_up(self):
        job = self.do(BackupProject(self.id))
        assert (job.status, job.error) == ("succeeded", None)
        with self.infra.database.autocommit() as tx:
            return backups.find(tx, job.result["backupId"])

    def verify(self, backup):
        return self.do(VerifyBackup(self.id, backup.id))

    def restore(self, backup, project=None, *, partial=False):
        job = self.do(RestoreProject(project or self.id, backup.id, partial))
        assert (job.status, job.error) == ("succeeded", None)
        return job

    def beside(self, backup) -> StoredFiles:
        """Restore into a project of its own."""
        new = add_project(self.infra, status="restoring")
        self.made.append(new)
        self.restore(backup, new)
        return StoredFiles(self.infra, new)

    def leave(self) -> None:
        for project in (self.id, *self.made):
            drop(self.infra, project)


@pytest.fixture
def shop(life):
    made = Shop(life)
    made.files.put(**FIRST)
    yield made
    made.leave()


def test_a_backup_holds_the_files_and_a_second_one_copies_only_what_changed(shop):
    first = shop.back_up()
    assert (first.objects, first.object_bytes) == (4, sum(map(len, FIRST.values())))
    assert len(shop.lying()) == 3, "what two files have in common is kept once"
    assert first.added_bytes == sum(path.stat().st_size for path in shop.lying())
    written = {path: path.stat().st_mtime_ns for path in shop.lying()}
    shop.files.put(**{"b.txt": b"another two", "new.txt": b"three"})
    second = shop.back_up()
    more = [path for path in shop.lying() if path not in written]
    assert (second.objects, len(more)) == (5, 2)
    assert second.added_bytes == sum(path.stat().st_size for path in more)
    assert written == {path: path.stat().st_mtime_ns for path in written}
    assert [shop.verify(each).error for each in (first, second)] == [None, None]


def test_one_changed_byte_is_found_by_the_proof_and_named_and_the_next_backup_copies_that_file_anew(shop):
    backup = shop.back_up()
    path = max(shop.lying(), key=lambda each: each.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused = shop.do(RestoreProject(shop.id, backup.id))
    assert "docs/b.txt: its copy was changed" in refused.error["detail"], "nothing is touched"
    job = shop.verify(backup)
    assert job.status == "failed"
    assert "1 of 4 files are damaged: docs/b.txt: its copy was changed" in job.error["detail"]
    again = shop.back_up()
    assert [shop.verify(each).error for each in (again, backup)] == [None, None]


def test_a_restore_beside_brings_the_files_with_their_rows(shop):
    backup = shop.back_up()
    shop.files.put(**{"a.txt": b"later"})
    beside = shop.beside(backup)
    assert beside.contents() == FIRST
    assert beside.is_whole()
    assert shop.files.contents() == {**FIRST, "a.txt": b"later"}


def test_a_restore_in_place_brings_the_files_back_and_undoing_it_those_of_before(shop):
    backup = shop.back_up()
    shop.files.put(**{"a.txt": b"later", "new.txt": b"three"})
    shop.files.remove("b.txt")
    later = shop.files.contents()
    shop.restore(backup)
    shop.files.sweep()
    assert shop.files.contents() == FIRST
    shop.files.put(**{"since.txt": b"since"})
    assert shop.do(UndoRestore(shop.id)).status == "succeeded"
    assert shop.files.contents() == later
    shop.files.sweep()
    assert shop.files.contents() == later
    assert shop.files.is_whole()


def test_a_deleted_project_comes_back_with_its_files(shop):
    job = shop.do(DeleteProject(shop.id))
    assert (job.status, job.error) == ("succeeded", None)
    assert shop.files.blobs() == set(), "the last backup holds them"
    with shop.infra.database.autocommit() as tx:
        final = backups.newest(tx, shop.id)
        tx.execute("UPDATE projects SET status = 'restoring' WHERE id = %s", (shop.id,))
    shop.restore(final)
    assert shop.files.contents() == FIRST
    assert shop.files.is_whole()


def test_what_is_removed_while_a_backup_runs_is_in_it_and_goes_once_it_is_over(shop, monkeypatch):
    """Bytes that the dump names stay until they are copied, whoever removes the file meanwhile."""
    began = ObjectsPart.copied

    def removed_first(part):
        shop.files.remove("a.txt", "b.txt")
        shop.files.sweep()
        return began(part)

    monkeypatch.setattr(ObjectsPart, "copied", removed_first)
    backup = shop.back_up()
    assert backup.objects == len(FIRST)
    assert not shop.files.is_whole(), "the bytes are still there"
    shop.files.sweep()
    assert shop.files.is_whole()
    assert shop.beside(backup).contents() == FIRST


@pytest.fixture
def disk(shop):
    """The backups lie on a small disk."""
    # What does not fit is found out by trying: the brake would let nothing begin on so small a disk.
    shop.infra.settings = shop.infra.settings.model_copy(update={"disk_reserve_mb": 1})
    folder = mounted(shop.folder, archive.RESERVE_MB + 20)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_backup_that_is_given_up_on_a_full_disk_leaves_nothing(shop, disk):
    first = shop.back_up()
    before = shop.lying()
    shop.files.put(**{f"{number}.bin": os.urandom(3_000_000) for number in range(10)})
    job = shop.do(BackupProject(shop.id))
    assert (job.status, "MB are free" in job.error["detail"]) == ("retrying", True)
    assert len(shop.lying()) > len(before), "another attempt goes on from there"
    with shop.infra.database.transaction() as tx:
        commands.cancel(tx, job.id, by="test")
    shop.engine.runner.drain()
    assert (shop.engine.job(job.id).status, shop.lying()) == ("cancelled", before)
    assert {path.name for path in disk.iterdir()} == {
        "files",
        *(f"{first.stem}.{kind}" for kind in ("sql.gz.gpg", "files.zst.gpg", "manifest.json")),
    }
    shop.files.remove(*(f"{number}.bin" for number in range(5)))
    assert shop.back_up().objects == len(FIRST) + 5


def test_a_copy_goes_when_the_last_backup_that_needs_it_does(shop):
    first = shop.back_up()
    shop.files.remove("b.txt")
    second = shop.back_up()
    assert len(shop.lying()) == 3
    shop.do(ForgetBackup(shop.id, first.id))
    assert len(shop.lying()) == 2
    assert shop.verify(second).error is None
    shop.do(ForgetBackup(shop.id, second.id))
    assert not shop.copies.exists()


def test_nothing_goes_while_a_backup_is_written_or_one_does_not_say_what_it_needs(shop):
    first = shop.back_up()
    store = sets.store(shop.infra)
    store.remove(first.stem)
    with store.objects.contents(first.stem).writing(lambda: None):
        assert store.objects.sweep(shop.id) == 0
    second = shop.back_up()
    shop.files.put(**{"new.txt": b"three"})
    third = shop.back_up()
    listing = shop.folder / f"{second.stem}.files.zst.gpg"
    kept = listing.read_bytes()
    listing.write_bytes(kept[:-1])
    store.remove(third.stem)
    with pytest.raises(Refused):
        store.objects.sweep(shop.id)
    assert len(shop.lying()) == 4
    listing.write_bytes(kept)
    assert store.objects.sweep(shop.id) == 1
    assert shop.verify(second).error is None


def test_a_file_that_was_changed_where_it_is_served_is_said_by_the_backup(shop):
    shop.files.write(shop.files.named()["a.txt"], b"One")
    shop.files.place.delete(shop.files.named()["b.txt"])
    backup = shop.back_up()
    remarks = shop.engine.job(backup.job_id).result["remarks"]
    assert sorted(remarks) == [
        "docs/a.txt: its bytes are not those that were stored",
        "docs/b.txt: there are no bytes of it",
    ]


def test_what_is_damaged_keeps_no_other_file_away_from_whoever_agrees_to_that(shop):
    backup = shop.back_up()
    max(shop.lying(), key=lambda each: each.stat().st_size).write_bytes(b"junk")
    new = add_project(shop.infra, status="restoring")
    shop.made.append(new)
    assert shop.do(RestoreProject(new, backup.id)).status == "failed"
    with shop.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'restoring' WHERE id = %s", (new,))
    job = shop.restore(backup, new, partial=True)
    [said] = job.result["lacking"]
    assert said.startswith("docs/b.txt: its copy was changed")
    files = StoredFiles(shop.infra, new)
    assert {name: files.read(blob) for name, blob in files.named().items() if name != "b.txt"} == {
        name: content for name, content in FIRST.items() if name != "b.txt"
    }


def test_what_was_kept_for_an_undo_goes_when_there_is_no_way_back_any_more(shop):
    backup = shop.back_up()
    shop.files.put(**{"new.txt": b"three"})
    job = shop.restore(backup)
    shop.files.sweep()
    assert not shop.files.is_whole(), "what only the database of before names is still there"
    shop.do(ForgetDatabase(shop.id, job.id))
    shop.files.sweep()
    assert shop.files.is_whole()
    assert shop.files.contents() == FIRST


def test_an_export_brings_the_files_to_another_installation(shop):
    with shop.infra.database.transaction() as tx:
        kept = [job_secrets.store(tx, shop.infra.vault, "a passphrase of the tests") for _ in range(2)]
    export = shop.do(ExportProject(shop.id, kept[0]))
    assert (export.status, export.error) == ("succeeded", None)
    settings = shop.infra.settings
    imports = ensure_folder(settings.imports_folder)
    path_of(settings.exports_folder, shop.id, export.id).rename(imports / "shop.gpg")
    new = add_project(shop.infra, status="restoring")
    shop.made.append(new)
    taken = shop.do(ImportProject(new, "shop.gpg", "sql.gz", kept[1]))
    assert (taken.status, taken.error) == ("succeeded", None)
    files = StoredFiles(shop.infra, new)
    assert (files.contents(), files.is_whole()) == (FIRST, True)
    with shop.infra.database.autocommit() as tx:
        assert backups.newest(tx, new).objects == len(FIRST)


@pytest.mark.parametrize("number", [60, pytest.param(10_000, marks=pytest.mark.full)])
def test_many_files_are_backed_up_damaged_found_restored_beside_and_swapped(shop, number):
    shop.files.put(**{f"{place:05}.txt": f"{place}".encode() * (place % 50) for place in range(number)})
    stored = shop.files.contents()
    first = shop.back_up()
    assert (first.objects, len(shop.lying())) == (number + len(FIRST), len(set(stored.values())))
    shop.files.put(**{"00007.txt": b"changed", "new.txt": b"three"})
    lying = set(shop.lying())
    second = shop.back_up()
    assert len(set(shop.lying()) - lying) == 2
    assert shop.beside(second).contents() == shop.files.contents()
    changed = max(shop.lying(), key=size_of)
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    verified = shop.verify(first)
    assert (verified.status, "its copy was changed" in verified.error["detail"]) == ("failed", True)
    assert "docs/" in verified.error["detail"]
    shop.back_up()  # copies what was damaged anew
    assert shop.verify(first).error is None
    shop.restore(first)
    shop.files.sweep()
    assert shop.files.contents() == stored


def size_of(path) -> int:
    return path.stat().st_size


def test_a_database_that_no_migration_has_reached_yet_is_held_as_any_other(shop):
    with stored_tenant(shop.infra, shop.id).as_admin() as admin:
        admin.execute("DROP TABLE launchdb.files_hold")
    hold = FilesHold(shop.infra.databases.cluster, shop.id, "test", "restore:test")
    hold.keep()
    path = migrations.MIGRATIONS / "project" / "020_files_hold.sql"
    with stored_tenant(shop.infra, shop.id).as_admin() as admin:
        admin.execute(path.read_text())
    shop.files.rows("DELETE FROM storage.objects")
    shop.files.sweep()
    assert len(shop.files.blobs()) == len(FIRST)
    hold.release()
    shop.files.sweep()
    assert shop.files.blobs() == set()


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"junk")])
def test_a_backup_is_made_also_where_the_list_of_the_one_before_is_gone_or_damaged(shop, damage):
    first = shop.back_up()
    damage(shop.folder / f"{first.stem}.files.zst.gpg")
    second = shop.back_up()
    assert (second.objects, second.added_bytes) == (len(FIRST), 0)
    assert shop.verify(first).status == "failed"
    assert shop.verify(second).error is None

"""The store of backups by itself, without a job: what it writes, it gives back, and nothing else passes for a set."""

from __future__ import annotations

from dataclasses import replace

import pytest

from catalog import names
from infra.backup.monitor import ProgressMonitor
from infra.backup.set_plan import DumpSource, SetPlan
from infra.backup.store import BackupStore
from infra.errors import Refused
from infra.postgres.project_staging import ProjectStaging

pytestmark = pytest.mark.gpg


class Stopped(Exception):
    """Whoever asked does not want it any more."""


class Shelf:
    """A store, and a project's database to be backed up."""

    def __init__(self, tenant) -> None:
        self.tenant, self.settings = tenant, tenant.infra.settings
        self.store, self.schema = BackupStore(self.settings), tenant.infra.databases.templates.version
        self.source = DumpSource(tenant.infra.databases.cluster, tenant.uri(tenant.roles.dump), "test", tenant.id)
        self.insert(100)

    def insert(self, rows: int) -> None:
        with self.tenant.connect(self.tenant.roles.owner) as owner:
            owner.execute("CREATE TABLE IF NOT EXISTS notes (n int)")
            owner.execute("INSERT INTO notes SELECT generate_series(1, %s)", (rows,))

    def plan(self, stem="shop_20260101_000000") -> SetPlan:
        at, form = "2026-01-01T00:00:00+00:00", "sql.gz"
        return SetPlan(
            f"bkp_{stem}", self.tenant.id, stem, at, form, self.store.key_id(), self.schema, {"name": "shop"}
        )

    def opened(self, stem):
        return self.store.open_verified(stem, newest_schema=self.schema)


@pytest.fixture
def shelf(tenant, master_key):
    return Shelf(tenant)


def test_what_a_set_holds_is_poured_into_another_database(shelf):
    manifest = shelf.store.write(shelf.plan(), shelf.source)
    verified, tenant = shelf.opened(manifest.stem), shelf.tenant
    assert (verified.contents.rows["public.notes"], verified.details["name"]) == (100, "shop")
    staging, name = ProjectStaging(tenant.infra.databases, tenant.roles, "test"), names.staging(tenant.id, "restored")
    try:
        staging.create_empty(name, manifest.schema)
        with staging.restorer(name) as login:
            played = shelf.store.restore_into(
                login, verified, extend=lambda extension, schema: staging.extend(name, login, extension, schema)
            )
        staging.settle(name)
        assert played.failures == []
        restored = replace(shelf.source, uri=tenant.uri(tenant.roles.dump, name))
        assert verified.compare(restored) == []
        with tenant.as_admin(name) as admin:
            admin.execute("DELETE FROM notes WHERE n = 1")
        assert [str(each) for each in verified.compare(restored)] == ["table public.notes: 99 rows instead of 100"]
    finally:
        staging.drop(name)
        staging.drop_restorer()


def test_a_set_is_written_once_and_anew_only_when_it_is_to_be_fresh_and_the_database_was_written_to(shelf):
    first = shelf.store.write(shelf.plan(), shelf.source)
    assert shelf.store.write(shelf.plan(), shelf.source, fresh=True) == first
    shelf.insert(1)
    assert shelf.store.write(shelf.plan(), shelf.source) == first
    assert shelf.store.write(shelf.plan(), shelf.source, fresh=True).files != first.files
    assert shelf.opened(first.stem).contents.rows["public.notes"] == 101


def test_a_backup_that_is_ended_at_its_last_safe_point_leaves_no_set(shelf):
    passed = []

    def check():
        passed.append(shelf.store.unfinished())
        if passed[-1]:
            raise Stopped

    with pytest.raises(Stopped):
        shelf.store.write(shelf.plan(), shelf.source, ProgressMonitor(check))
    assert (shelf.store.stems(), shelf.store.files()) == ([], {})
    shelf.store.remove(shelf.plan().stem)
    assert shelf.store.unfinished() == []


def test_one_changed_byte_is_found_before_anything_is_done_with_a_set(shelf):
    manifest = shelf.store.write(shelf.plan(), shelf.source)
    path = shelf.settings.backups_folder / manifest.files[0].name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Refused, match="was changed: its checksum does not fit"):
        shelf.opened(manifest.stem)


def test_an_export_that_was_exchanged_since_it_was_looked_at_is_not_taken_over(shelf, tmp_path):
    first = shelf.store.write(shelf.plan(), shelf.source)
    shelf.insert(1)
    second = shelf.store.write(shelf.plan("shop_20260102_000000"), shelf.source)
    path, words = tmp_path / "shop.gpg", "words that both know"
    shelf.store.export(shelf.opened(first.stem), path, words)
    head = shelf.store.export_head(path, words)
    planned = shelf.plan("shop_20260103_000000")
    shelf.store.export(shelf.opened(second.stem), path, words)
    with pytest.raises(Refused, match="the file is another one"):
        shelf.store.take_over(path, words, head, planned)
    assert shelf.store.stems() == [first.stem, second.stem]
    taken = shelf.store.take_over(path, words, shelf.store.export_head(path, words), planned)
    assert taken.database_bytes == second.database_bytes
    assert shelf.store.stems() == [first.stem, second.stem, taken.stem]

"""A project whose files lie in a real object store: its backups, its end, the sweep and copies on another machine."""

from __future__ import annotations

import shutil

import pytest

from catalog import backups
from infra.blobs.places import blob_places, object_client, projects_with_bytes
from infra.blobs.results import ResultFolder
from jobs.kinds.backup.forget_backup import ForgetBackup
from jobs.kinds.backup.restore import RestoreProject
from jobs.kinds.backup.retain_backups import RetainBackups
from jobs.kinds.project.delete import DeleteProject
from tests.fixtures.ceph import Ceph
from tests.fixtures.stored_files import StoredFiles
from tests.jobs.kinds.test_files_in_backups import FIRST, Shop
from tests.jobs.kinds.test_offsite_files import Copies

pytestmark = [pytest.mark.ceph, pytest.mark.gpg]
BUCKET = "files"


@pytest.fixture(scope="module")
def ceph(tmp_path_factory):
    with Ceph(tmp_path_factory.mktemp("ceph") / "node") as running:
        object_client(running.endpoint, "us-east-1", running.key, running.secret).create_bucket(Bucket=BUCKET)
        yield running


@pytest.fixture
def stored(life, ceph):
    """A life whose files are there; the secret is a file, as in containers."""
    settings = life.infra.settings
    chosen = {"files_s3_endpoint": ceph.endpoint, "files_s3_bucket": BUCKET, "files_s3_access_key": ceph.key}
    secret = settings.secrets_folder / "FILES_S3_SECRET_KEY"
    secret.touch(mode=0o600)
    secret.write_text(f"{ceph.secret}\n")
    life.infra.settings = settings.model_copy(update=chosen)
    yield life
    life.infra.settings = settings
    secret.unlink()


@pytest.fixture
def shop(stored):
    made = Shop(stored)
    made.files.put(**FIRST)
    yield made
    made.leave()


def names_there(ceph, project: str) -> list[str]:
    client = object_client(ceph.endpoint, "us-east-1", ceph.key, ceph.secret)
    return [each["Key"] for each in client.list_objects_v2(Bucket=BUCKET, Prefix=f"{project}/").get("Contents", ())]


def test_they_are_backed_up_proven_restored_beside_and_in_place(shop, ceph):
    assert len(names_there(ceph, shop.id)) == len(FIRST)
    assert not (shop.infra.settings.files_folder / shop.id).exists(), "no byte lies here"
    backup = shop.back_up()
    assert backup.objects == len(FIRST)
    assert shop.verify(backup).error is None
    assert shop.beside(backup).contents() == FIRST
    shop.files.put(**{"a.txt": b"later", "new.txt": b"three"})
    shop.files.remove("b.txt")
    shop.restore(backup)
    shop.files.sweep()
    assert shop.files.contents() == FIRST


def test_what_was_changed_or_lost_there_is_said_by_the_backup(shop):
    shop.files.write(shop.files.named()["a.txt"], b"One")
    shop.files.place.delete(shop.files.named()["b.txt"])
    backup = shop.back_up()
    assert sorted(shop.engine.job(backup.job_id).result["remarks"]) == [
        "docs/a.txt: its bytes are not those that were stored",
        "docs/b.txt: there are no bytes of it",
    ]


def test_they_go_with_the_project_and_come_back_with_it(shop, ceph):
    made = ResultFolder(shop.infra.settings.files_folder, shop.id)
    made.keep(shop.files.named()["a.txt"], "small", "webp", b"a picture").close()
    job = shop.do(DeleteProject(shop.id))
    assert (job.status, job.error) == ("succeeded", None)
    assert names_there(ceph, shop.id) == []
    assert not (shop.infra.settings.files_folder / shop.id).exists(), "what was made of them lies here"
    with shop.infra.database.autocommit() as tx:
        final = backups.newest(tx, shop.id)
        tx.execute("UPDATE projects SET status = 'restoring' WHERE id = %s", (shop.id,))
    shop.restore(final)
    assert (shop.files.contents(), shop.files.is_whole()) == (FIRST, True)


def test_those_of_a_deleted_project_that_nothing_brings_back_are_removed_wherever_they_lie(shop, ceph):
    backup, settings = shop.back_up(), shop.infra.settings
    shop.do(DeleteProject(shop.id))
    # As a restore that was given up leaves them; and what is nobody's stays.
    late = StoredFiles(shop.infra, shop.id)
    blob = "00000000-0000-4000-8000-000000000000.late"
    late.write(blob, b"late")
    stranger = blob_places(settings)("proj_ffffffffffffffff")
    writer = stranger.begin()
    writer.write(b"of another installation")
    writer.commit(blob)
    assert {shop.id, "proj_ffffffffffffffff"} <= set(projects_with_bytes(settings))
    shop.do(RetainBackups())
    assert len(names_there(ceph, shop.id)) == 1, "its last backup could still bring it back"
    with shop.infra.database.autocommit() as tx:
        final = backups.newest(tx, shop.id)
    for each in (backup, final):
        shop.do(ForgetBackup(shop.id, each.id))
    assert shop.do(RetainBackups()).error is None
    assert names_there(ceph, shop.id) == []
    assert len(names_there(ceph, "proj_ffffffffffffffff")) == 1
    stranger.remove_all()


@pytest.mark.ssh
def test_their_copies_go_to_another_machine_and_bring_them_back(stored, ssh_server):
    copies = Copies(stored, ssh_server)
    first = copies.back_up()
    copies.sync()
    before = copies.elsewhere()
    copies.files.put(**{"a.txt": b"another"})
    second = copies.back_up()
    copies.sync()
    assert before.items() <= copies.elsewhere().items(), "what is there does not go over again"
    assert copies.is_known_there(first)
    assert copies.is_known_there(second)
    shutil.rmtree(copies.folder)
    assert copies.pull(first, second) == [first.stem, second.stem]
    wanted = copies.files.contents()
    copies.files.place.remove_all()
    assert copies.do(RestoreProject(copies.id, second.id)).error is None
    assert copies.files.contents() == wanted

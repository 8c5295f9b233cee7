"""A fleet, two killed workers, a disk that fills up in the middle, and one project that does not fit."""

from __future__ import annotations

import subprocess
import time

import pytest

from catalog import backups, names
from infra.backup import archive
from infra.gpg import Gpg
from jobs.engine import view
from jobs.kinds import BackupFleet
from tests.crash.test_fleet import children, projects
from tests.fixtures.projects import stored_tenant
from tests.jobs.conftest import wait_until
from tests.workers.conftest import processes

pytestmark = pytest.mark.gpg

__all__ = ["processes", "projects"]
SECONDS = 480
# What a backup leaves free of the disk, and a little for the backups themselves.
DISK_MB = archive.RESERVE_MB + 12


def mounted(folder, megabytes):
    """A disk of its own: small, and gone with the test."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("this account may mount no disk")
    return folder


@pytest.fixture
def disk(settings):
    """The backups lie on a small disk."""
    folder = mounted(settings.backups_folder, DISK_MB)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("form", ["gz", "zst"])
def test_a_disk_that_is_full_leaves_no_file_and_says_so(form, tmp_path):
    folder = mounted(tmp_path / "disk", 2)
    try:
        with open("/dev/urandom", "rb") as endless, pytest.raises(archive.DiskFull, match="the disk is full"):  # noqa: PTH123
            archive.store_file(endless, folder / "x", form, Gpg(tmp_path / "gnupg"), "k" * 32, lambda _done: None)
        assert list(folder.iterdir()) == []
    finally:
        subprocess.run(["umount", folder], check=True)


def test_all_others_are_backed_up_and_the_one_that_does_not_fit_is_named(processes, infra, projects, disk):
    # What does not fit is found out by trying: the brake would let nothing begin on so small a disk.
    processes.environment["DISK_RESERVE_MB"] = "1"
    [large] = sorted(projects)[4:5]
    with stored_tenant(infra, large).connect(names.roles(large).owner) as owner:
        owner.execute("CREATE TABLE ballast AS SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, 40000) n")
    workers = [processes.worker() for _ in range(2)]
    processes.start("scheduler")
    job = processes.enqueue(BackupFleet())
    for victim, done in zip(workers, (len(projects) // 6, len(projects) // 2), strict=True):
        wait_until(
            lambda least=done: sum(row["status"] == "succeeded" for row in children(infra, job).values()) >= least,
            SECONDS,
        )
        victim.kill()
        processes.worker()
    filler = disk / "filler"
    with filler.open("wb") as file:
        file.write(b"x" * (10 << 20))
    time.sleep(3)
    filler.unlink()
    ended = processes.finished(job.id, SECONDS)
    assert ended.status == "failed"
    assert [failed["projectId"] for failed in ended.error["failed"]] == [large]
    assert "MB are free" in ended.error["failed"][0]["reason"]
    assert ended.error["backedUp"] == len(projects), "the platform and all but one"
    with infra.database.autocommit() as tx:
        listed = {project: backups.page(tx, project, before=None, limit=9) for project in projects}
        assert tx.value("SELECT count(*) FROM backups WHERE finished_at IS NULL") == 0
        told = view.show_job(tx, job.id)
    assert {project: len(found) for project, found in listed.items()} == {
        project: int(project != large) for project in projects
    }
    assert told["children"]["succeeded"] == len(projects)
    names_of_files = sorted(path.name for path in disk.iterdir())
    assert len(names_of_files) == 2 * len(projects), "a file and a manifest each, and nothing else"
    assert not [name for name in names_of_files if name.startswith(".")]

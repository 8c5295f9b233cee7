"""Copies of backups on another machine: whole, checked, never deleted by copying, and only to the machine that is known."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from catalog import backups
from infra.backup import sets
from infra.backup.offsite import PARTIAL, Offsite
from infra.backup.offsite_names import TRIAL
from infra.errors import Refused, Unavailable
from jobs.engine import commands
from jobs.engine.crash import EXIT_STATUS
from jobs.kinds.backup.backup_platform import BackupPlatform
from jobs.kinds.backup.sync_offsite import SyncOffsite
from tests.crash.attempts import Attempt, attempt_in_a_process
from tests.crash.carrying import pass_on
from tests.crash.places import places
from tests.crash.test_fleet_of_backups import mounted
from tests.fixtures.projects import add_project
from tests.jobs.conftest import Engine

pytestmark = [pytest.mark.ssh, pytest.mark.gpg]


class Copies:
    """An installation with backups, and the machine that they are copied to."""

    def __init__(self, infra, server):
        self.infra, self.server, self.made = infra, server, 0
        self.environment = {"RSYNC_DEST": server.destination, "RSYNC_PORT": str(server.port)}
        infra.settings = infra.settings.model_copy(
            update={"rsync_dest": server.destination, "rsync_port": server.port, "lease_seconds": 60.0}
        )
        # Nothing beats in this process: what takes long has to be held for as long.
        self.engine = Engine(infra)
        self.there = Offsite(infra.settings)
        server.admit(self.there.prepare())
        line, fingerprint = self.there.host_key()
        assert fingerprint == server.fingerprint
        self.there.pin(line)

    @property
    def folder(self):
        return self.infra.settings.backups_folder

    def set_of(self, scope="platform", *, megabytes=0, days=0, proven=False, hours=0):
        """Lay a whole set, as old as that, into the folder and the catalogue; return its stem."""
        self.made += 1
        seconds = days * 86400 + hours * 3600 + self.made * 60  # apart, whatever the clock does meanwhile
        self.folder.mkdir(mode=0o700, exist_ok=True)
        with self.infra.database.autocommit() as tx:
            stem = tx.value(
                "SELECT %s || '_' || to_char((now() - %s * interval '1 second') AT TIME ZONE 'UTC', 'YYYYMMDD_HH24MISS')",
                (scope, seconds),
            )
            tx.execute(
                "INSERT INTO backups (id, scope, stem, format, key_id, created_at, finished_at, verified_at, bytes)"
                " SELECT %s, %s, %s, 'sql.gz', 'k', t, t, CASE WHEN %s THEN t END, 1"
                " FROM (SELECT now() - %s * interval '1 second' AS t) AS at",
                (f"bkp_{self.made:032x}", scope, stem, proven, seconds),
            )
        (self.folder / f"{stem}.sql.gz.gpg").write_bytes(os.urandom(1000 + (megabytes << 20)))
        (self.folder / f"{stem}.manifest.json").write_text("{}")
        return stem

    def sync(self):
        job = self.engine.enqueue(SyncOffsite())
        self.engine.runner.drain()
        return self.engine.job(job.id)

    def same(self, stem):
        return all(
            (self.server.copies / name).read_bytes() == (self.folder / name).read_bytes()
            for name in (f"{stem}.sql.gz.gpg", f"{stem}.manifest.json")
        )

    def offsite(self):
        with self.infra.database.autocommit() as tx:
            return backups.offsite_stems(tx)


@pytest.fixture
def copies(infra, master_key, ssh_server):
    made = Copies(infra, ssh_server)
    yield made
    made.engine.close()


def test_every_whole_set_is_copied_and_known_to_be_there(copies):
    stems = {copies.set_of() for _ in range(3)}
    (copies.folder / "platform_20200101_000000.sql.gz.gpg").write_bytes(b"half a backup: it has no manifest")
    (copies.folder / ".platform_20200101_000001.sql.gz.gpg").write_bytes(b"on its way")
    job = copies.sync()
    assert (job.status, job.error, job.result) == ("succeeded", None, {"there": 3})
    assert copies.server.names() == {name for stem in stems for name in (f"{stem}.sql.gz.gpg", f"{stem}.manifest.json")}
    assert all(copies.same(stem) for stem in stems)
    assert copies.offsite() == stems
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in copies.server.copies.iterdir())
    before = {path.name: path.stat().st_ino for path in copies.server.copies.iterdir()}
    copies.sync()
    after = {path.name: path.stat().st_ino for path in copies.server.copies.iterdir()}
    assert before == after, "what is there already does not go over again"


def test_a_real_backup_comes_back_and_opens(copies):
    copies.engine.enqueue(BackupPlatform())
    copies.engine.runner.drain()
    (stem,) = sets.stems(copies.folder)
    assert copies.sync().status == "succeeded"
    with copies.infra.database.autocommit() as tx:
        (row,) = backups.page(tx, "platform", before=None, limit=5)
        assert row.offsite_at is not None
        assert backups.worst_figures(tx)["offsite_seconds"] < 120
    target = copies.infra.settings.home / "back"
    target.mkdir()
    copies.there.fetch(target, [f"{stem}.sql.gz.gpg", f"{stem}.manifest.json"], lambda _done: None)
    assert {path.name for path in target.iterdir()} >= {f"{stem}.sql.gz.gpg", f"{stem}.manifest.json"}
    assert (target / f"{stem}.sql.gz.gpg").read_bytes() == (copies.folder / f"{stem}.sql.gz.gpg").read_bytes()


def test_an_empty_folder_here_takes_nothing_away_there(copies):
    stem = copies.set_of()
    copies.sync()
    before = copies.server.names()
    for path in list(copies.folder.iterdir()):
        path.unlink()
    assert copies.sync().status == "succeeded"
    copies.folder.rmdir()
    assert copies.sync().status == "succeeded"
    assert copies.server.names() == before
    assert before >= {f"{stem}.manifest.json"}


def test_what_others_keep_there_is_not_touched(copies):
    copies.server.copies.mkdir()
    (copies.server.copies / "photos").mkdir()
    (copies.server.copies / "photos" / "cat.jpg").write_bytes(b"meow")
    (copies.server.copies / "platform_20200101_000000.sql.gz.gpg.txt").write_bytes(b"a note")
    with copies.infra.database.autocommit() as tx:
        tx.execute("UPDATE schedules SET enabled = enabled")
    copies.set_of(days=400)
    copies.set_of(days=399, proven=True)
    copies.set_of(proven=True)
    copies.set_of(proven=True, hours=1)
    assert copies.sync().status == "succeeded"
    assert (copies.server.copies / "photos" / "cat.jpg").read_bytes() == b"meow"
    assert (copies.server.copies / "platform_20200101_000000.sql.gz.gpg.txt").exists()


def test_a_copy_that_was_changed_on_its_way_is_named_and_not_believed(copies):
    good, bad = copies.set_of(), copies.set_of()
    copies.server.copies.mkdir()
    original = (copies.folder / f"{bad}.sql.gz.gpg").read_bytes()
    (copies.server.copies / f"{bad}.sql.gz.gpg").write_bytes(b"\0" + original[1:])  # as long as the right one
    job = copies.sync()
    assert (job.status, f"{bad}.sql.gz.gpg" in job.error["detail"]) == ("failed", True)
    assert copies.offsite() == {good}


def test_another_host_key_stops_everything(copies):
    copies.set_of()
    copies.server.stop()
    copies.server.new_host_key()
    copies.server.start()
    job = copies.sync()
    assert (job.status, "shows another key than the one that was pinned" in job.error["detail"]) == ("failed", True)
    assert copies.server.names() == set()


def test_a_key_that_is_not_let_in_is_told_so(copies):
    copies.set_of()
    copies.server.admit("# nobody")
    job = copies.sync()
    assert (job.status, "does not let our key in" in job.error["detail"]) == ("failed", True)


def test_a_machine_that_is_away_is_waited_for(copies):
    stem = copies.set_of()
    copies.server.stop()
    job = copies.engine.enqueue(SyncOffsite())
    copies.engine.runner.drain()
    waiting = copies.engine.job(job.id)
    assert waiting.status == "retrying"
    assert "cannot be reached" in waiting.error["detail"]
    copies.server.start()
    copies.engine.due_now(job.id)
    copies.engine.runner.drain()
    assert copies.engine.job(job.id).status == "succeeded"
    assert copies.same(stem)


def test_a_machine_that_stays_away_costs_no_attempts_and_says_what_is_waited_for(copies):
    copies.set_of()
    copies.server.stop()
    job = copies.engine.enqueue(SyncOffsite())
    for _ in range(5):
        copies.engine.due_now(job.id)
        copies.engine.runner.drain()
    with copies.infra.database.autocommit() as tx:
        assert tx.value("SELECT dependency FROM breakers WHERE open_until IS NOT NULL") == "off-site"
    assert copies.engine.job(job.id).status in ("queued", "retrying")


def slow(copies, kbps):
    copies.infra.settings = copies.infra.settings.model_copy(update={"rsync_kbps": kbps})
    copies.environment["RSYNC_KBPS"] = str(kbps)


def begun(copies):
    """Wait until bytes of a file lie there; return under which names."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [
            path for path in copies.server.copies.rglob("*") if path.is_file() and path.stat().st_size > 100_000
        ] if copies.server.copies.exists() else []  # fmt: skip
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("nothing goes over")


def test_a_connection_cut_in_the_middle_leaves_nothing_under_the_final_name_and_is_gone_on_with(copies):
    stem = copies.set_of(megabytes=8)
    slow(copies, 2000)
    job = copies.engine.enqueue(SyncOffsite())
    thread = copies.engine.in_background()
    begun(copies)
    copies.server.cut()
    thread.join(60)
    waiting = copies.engine.job(job.id)
    assert waiting.status == "retrying", waiting.error
    assert not {f"{stem}.sql.gz.gpg", f"{stem}.manifest.json"} & copies.server.names()
    slow(copies, 0)
    copies.engine.due_now(job.id)
    copies.engine.runner.drain()
    assert copies.engine.job(job.id).status == "succeeded"
    assert copies.same(stem)
    assert copies.server.names() == {f"{stem}.sql.gz.gpg", f"{stem}.manifest.json"}, "no partial file is left"


def test_a_worker_killed_in_the_middle_leaves_no_program_and_nothing_half(copies, settings):
    stem = copies.set_of(megabytes=8)
    slow(copies, 2000)
    job = copies.engine.enqueue(SyncOffsite())
    with Attempt(settings, **copies.environment) as process:
        begun(copies)
        process.kill()
    deadline = time.monotonic() + 60
    needle = str(copies.server.copies)
    while found := [pid for pid in processes() if needle in command(pid) and "rsync" in command(pid)]:
        assert time.monotonic() < deadline, [command(pid) for pid in found]
        time.sleep(0.05)
    assert not {f"{stem}.sql.gz.gpg", f"{stem}.manifest.json"} & copies.server.names()
    pass_on(copies.infra)
    slow(copies, 0)
    copies.engine.runner.drain()
    assert copies.engine.job(job.id).status == "succeeded"
    assert copies.same(stem)


def test_an_rsync_that_is_killed_alone_is_tried_again(copies):
    """As the kernel does when memory is short."""
    stem = copies.set_of(megabytes=8)
    slow(copies, 2000)
    job = copies.engine.enqueue(SyncOffsite())
    thread = copies.engine.in_background()
    begun(copies)
    needle = str(copies.server.copies)
    running = {pid: command(pid) for pid in processes()}
    sending = [
        pid
        for pid, words in running.items()
        if re.match(r"(/\S+/)?rsync ", words) and needle in words and "--server" not in words
    ]
    assert sending
    for pid in sending:
        os.kill(pid, signal.SIGKILL)
    thread.join(60)
    waiting = copies.engine.job(job.id)
    assert waiting.status == "retrying", waiting.error
    assert not {f"{stem}.sql.gz.gpg", f"{stem}.manifest.json"} & copies.server.names()
    slow(copies, 0)
    copies.engine.due_now(job.id)
    copies.engine.runner.drain()
    assert copies.engine.job(job.id).status == "succeeded"
    assert copies.same(stem)


def processes():
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def test_it_can_be_cancelled_while_a_file_goes_over(copies):
    copies.set_of(megabytes=8)
    slow(copies, 500)
    job = copies.engine.enqueue(SyncOffsite())
    thread = copies.engine.in_background()
    begun(copies)
    with copies.infra.database.autocommit() as tx:
        commands.cancel(tx, job.id, by="the test")
    thread.join(20)
    assert not thread.is_alive()
    assert copies.engine.job(job.id).status == "cancelled"


@pytest.mark.parametrize("crash", places(SyncOffsite))
def test_killed_at_every_place_it_ends_the_same(crash, copies, settings):
    stems = {copies.set_of(megabytes=1) for _ in range(2)}
    job = copies.engine.enqueue(SyncOffsite())
    assert attempt_in_a_process(settings, crash=crash, **copies.environment) == EXIT_STATUS
    pass_on(copies.infra)
    copies.engine.runner.drain()
    assert copies.engine.job(job.id).status == "succeeded"
    assert copies.offsite() == stems
    assert all(copies.same(stem) for stem in stems)
    assert len(copies.server.names()) == 4


def test_a_full_disk_there_is_named_and_nothing_half_is_listed(copies):
    mounted(copies.server.copies, 4)
    try:
        small, large = copies.set_of(), copies.set_of(megabytes=8)
        job = copies.sync()
        assert (job.status, "is full" in job.error["detail"]) == ("failed", True), job.error
        assert not {f"{large}.sql.gz.gpg", f"{large}.manifest.json"} & set(copies.there.list_files())
        assert large not in copies.offsite()
        assert small
    finally:
        subprocess.run(["umount", copies.server.copies], check=True)


def test_old_copies_go_but_never_the_newest_nor_what_is_not_known(copies):
    shop = add_project(copies.infra, status="active")
    lonely = add_project(copies.infra, status="active")
    gone = add_project(copies.infra, status="deleted")
    with copies.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET deleted_at = now() - interval '60 days' WHERE id = %s", (gone,))
    copies.infra.settings = copies.infra.settings.model_copy(update={"offsite_retention_days": 0})
    old = [copies.set_of(shop, days=days, proven=True) for days in (50, 40, 35)]
    unproven = [copies.set_of(lonely, days=days) for days in (50, 40, 35, 1)]
    deleted = copies.set_of(gone, days=61)
    strange = copies.set_of("proj_00000000deadbeef", days=400)
    assert copies.sync().status == "succeeded"
    with copies.infra.database.autocommit() as tx:
        tx.execute("DELETE FROM backups WHERE scope = 'proj_00000000deadbeef'")
    everything = {*old, *unproven, deleted, strange}
    assert set(copies.there.list_files()) == {f"{s}.{e}" for s in everything for e in ("sql.gz.gpg", "manifest.json")}
    copies.infra.settings = copies.infra.settings.model_copy(update={"offsite_retention_days": 30})
    job = copies.sync()
    assert (job.status, job.error, job.result["there"]) == ("succeeded", None, len(everything) - 2)
    left = {name.partition(".")[0] for name in copies.there.list_files()}
    # Of the shop the two newest stay, however old; where nothing newer was proven everything does.
    assert left == everything - {old[0], deleted}
    copies.sync()
    again = {name.partition(".")[0] for name in copies.there.list_files()}
    assert again == left, "what was removed for its age is not copied again"
    for path in copies.folder.iterdir():
        path.unlink()
    assert copies.sync().result["there"] == len(left)


def test_a_trial_leaves_nothing_there(copies):
    folder = copies.infra.settings.home / "trial"
    folder.mkdir()
    copies.there.try_copy(folder)
    assert copies.server.names() - {PARTIAL} == set()
    assert list(folder.iterdir()) == []
    copies.set_of()
    copies.sync()
    before = copies.server.names()
    copies.there.try_copy(folder)
    assert copies.server.names() - {PARTIAL} == before
    assert TRIAL not in before


def test_the_key_is_made_once_and_only_we_may_read_it(copies):
    folder = copies.infra.settings.home / "backup" / "ssh"
    first = copies.there.prepare()
    assert first == copies.there.prepare()
    assert first.startswith("restrict ssh-ed25519 ")
    assert (folder / "backup_key").stat().st_mode & 0o777 == 0o600
    assert (folder / "backup_key.pub").stat().st_mode & 0o777 == 0o644
    assert folder.stat().st_mode & 0o777 == 0o700


def test_without_preparation_it_says_what_to_do(copies):
    (copies.infra.settings.home / "backup" / "ssh" / "known_hosts").unlink()
    copies.set_of()
    job = copies.sync()
    assert (job.status, "launchdb backups offsite" in job.error["detail"]) == ("failed", True)


def test_nobody_at_the_port_and_no_destination_are_said_plainly(copies, infra):
    copies.server.stop()
    with pytest.raises(Unavailable, match="nobody answers as an SSH server"):
        copies.there.host_key()
    with pytest.raises(Refused, match="RSYNC_DEST is not set"):
        Offsite(infra.settings.model_copy(update={"rsync_dest": ""}))


def test_a_home_with_odd_characters_works(copies, tmp_path):
    home = tmp_path / 'a home\'s %d "place"'
    home.mkdir()
    odd = Offsite(copies.infra.settings.model_copy(update={"home": home}))
    copies.server.admit(odd.prepare())
    odd.pin(odd.host_key()[0])
    assert odd.list_files() == {}


def test_asked_for_twice_it_runs_once(copies):
    copies.set_of()
    jobs = [copies.engine.enqueue(SyncOffsite()) for _ in range(3)]
    assert len({job.id for job in jobs}) == 1
    copies.engine.runner.drain()
    assert copies.engine.job(jobs[0].id).status == "succeeded"

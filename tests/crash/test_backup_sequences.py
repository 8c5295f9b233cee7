"""Random sequences of writes, backups, proofs, retentions, restores and deaths: what was proven last always comes back."""

from __future__ import annotations

import shutil
from random import Random

import pytest

from catalog import backups, names
from jobs.backup import backups as sets
from jobs.engine.table import find
from jobs.kinds.backup.backup import BackupProject
from jobs.kinds.backup.restore import RestoreProject
from jobs.kinds.backup.retain_backups import RetainBackups
from jobs.kinds.backup.undo_restore import UndoRestore
from jobs.kinds.backup.verify_backup import VerifyBackup
from jobs.kinds.project.provision import ProvisionProject
from tests.crash.carrying import installation, pass_on, run_here, write
from tests.crash.test_sequences import Dead, Deadly, worker
from tests.fixtures.projects import add_project, drop, stored_tenant
from tests.fixtures.stored_files import StoredFiles

__all__ = ["installation"]
STEPS = 10
SEEDS, SEEDS_IN_FULL = 5, 200


class Story:
    """One project, what it has to hold, and what each of its backups has to."""

    def __init__(self, infra, seed):
        self.infra, self.chance = infra, Random(seed)
        # Nothing beats in this process: what takes long has to be held for as long.
        infra.settings = infra.settings.model_copy(update={"lease_seconds": 60.0})
        self.id = add_project(infra)
        self.twins = []
        run_here(infra, write(infra, ProvisionProject(self.id)))
        self.sql("CREATE TABLE kept (n int PRIMARY KEY)")
        self.rows, self.next, self.before = set(), 0, None
        self.stored, self.files = StoredFiles(infra, self.id), {}
        self.held = {}
        self.proven = []
        self.log = []

    def sql(self, statement, project=None):
        tenant = stored_tenant(self.infra, project or self.id)
        with tenant.connect(tenant.roles.owner) as owner:
            found = owner.execute(statement)
            return {row[0] for row in found.fetchall()} if found.description else None

    def carry(self, arguments):
        """Have workers carry a job, some of whom die on the way; return it at its end."""
        job = write(self.infra, arguments)
        for _ in range(self.chance.choice([0, 0, 1, 2])):
            doomed = worker(self.infra, self.chance)
            doomed.crash = Deadly(self.chance.randrange(1, 16))
            try:
                doomed.run_one()
            except Dead:
                pass_on(self.infra)
        worker(self.infra, self.chance).drain()
        with self.infra.database.autocommit() as tx:
            return find(tx, job.id)

    def listed(self):
        with self.infra.database.autocommit() as tx:
            return backups.page(tx, self.id, before=None, limit=99)

    def write(self):
        for _ in range(self.chance.randrange(1, 5)):
            self.sql(f"INSERT INTO kept VALUES ({self.next})")
            self.rows.add(self.next)
            self.next += 1
        for number in range(self.chance.randrange(3)):
            # Some are new, some take the place of others, and some have the content of others.
            name, content = f"{self.chance.randrange(6)}.txt", str(self.chance.choice([number, self.next])).encode()
            self.stored.put(**{name: content})
            self.files[name] = content

    def erase(self):
        for name in self.chance.sample(sorted(self.files), min(1, len(self.files))):
            self.stored.remove(name)
            del self.files[name]
        for row in self.chance.sample(sorted(self.rows), min(2, len(self.rows))):
            self.sql(f"DELETE FROM kept WHERE n = {row}")
            self.rows.remove(row)

    def back_up(self):
        job = self.carry(BackupProject(self.id))
        assert job.status == "succeeded", job.error
        self.held[job.result["backupId"]] = set(self.rows), dict(self.files)

    def verify(self):
        listed = self.listed()
        if listed:
            chosen = self.chance.choice(listed)
            job = self.carry(VerifyBackup(self.id, chosen.id))
            assert job.status == "succeeded", job.error
            self.proven.append(chosen.id)

    def age(self):
        """Weeks go by."""
        with self.infra.database.autocommit() as tx:
            tx.execute(
                "UPDATE backups SET created_at = created_at - %s * interval '1 day'", (self.chance.randrange(40),)
            )

    def retain(self):
        before = {backup.id: backup for backup in self.listed()}
        proven = [backup for backup in before.values() if backup.verified_at]
        assert self.carry(RetainBackups()).status == "succeeded"
        left = {backup.id for backup in self.listed()}
        if proven:
            assert max(proven, key=lambda backup: backup.created_at).id in left, "what was proven last is gone"
        else:
            assert left == set(before), "nothing was proven, and something is gone"

    def restore(self):
        listed = self.listed()
        if listed:
            chosen = self.chance.choice(listed)
            job = self.carry(RestoreProject(self.id, chosen.id))
            assert job.status == "succeeded", job.error
            self.before = set(self.rows), dict(self.files)
            self.rows, self.files = set(self.held[chosen.id][0]), dict(self.held[chosen.id][1])

    def undo(self):
        job = self.carry(UndoRestore(self.id))
        assert job.status == ("failed" if self.before is None else "succeeded"), job.error
        if self.before is not None:
            (self.rows, self.files), self.before = self.before, None

    def prove_all(self):
        """The newest one that was proven becomes a project of its own that holds what was written then."""
        self.stored.sweep()
        assert self.before is not None or self.stored.is_whole()
        assert self.sql("SELECT n FROM kept") == self.rows
        proven = [backup for backup in self.listed() if backup.verified_at]
        if not proven:
            return
        newest = max(proven, key=lambda backup: backup.created_at)
        self.twins.append(add_project(self.infra, status="restoring"))
        job = self.carry(RestoreProject(self.twins[-1], newest.id))
        assert job.status == "succeeded", job.error
        beside = StoredFiles(self.infra, self.twins[-1])
        assert (self.sql("SELECT n FROM kept", beside.id), beside.contents()) == self.held[newest.id]
        assert beside.is_whole()

    def sweep(self):
        """Storage looks for bytes that no row names."""
        self.stored.sweep()

    def left_over(self):
        folder = self.infra.settings.backups_folder
        files = {path.name for path in folder.iterdir() if path.is_file()} if folder.is_dir() else set()
        wanted = {f"{backup.stem}{end}" for backup in self.listed() for end in (".sql.gz.gpg", ".manifest.json")}
        wanted |= {f"{backup.stem}.files.zst.gpg" for backup in self.listed() if backup.objects}
        store = sets.store(self.infra)
        store.objects.sweep(self.id)
        needed = store.objects.needed(store.read(backup.stem) for backup in self.listed())
        files |= set(store.objects.sizes(self.id))
        wanted |= needed
        with self.infra.database.autocommit() as tx:
            rows = tx.rows("SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{self.id}\\_%",))
            roles = tx.rows("SELECT rolname FROM pg_roles WHERE rolname LIKE '%%\\_restore'")
        beside = {row["datname"] for row in rows} - {names.staging(self.id, "before")}
        return files ^ wanted, beside, roles

    def close(self):
        for project in (self.id, *self.twins):
            drop(self.infra, project)


ACTS = ("write", "write", "erase", "back_up", "back_up", "verify", "age", "retain", "restore", "undo", "sweep")


def play(infra, seed):
    story = Story(infra, seed)
    try:
        story.write()
        for _ in range(STEPS):
            act = story.chance.choice(ACTS)
            story.log.append(act)
            getattr(story, act)()
            assert (story.sql("SELECT n FROM kept"), story.stored.contents()) == (story.rows, story.files), story.log
        story.prove_all()
        assert story.left_over() == (set(), set(), []), story.log
    finally:
        story.close()


@pytest.mark.gpg
@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_was_proven_last_always_comes_back(seed, installation):
    play(installation, seed)


@pytest.mark.full
def test_two_hundred_stories_of_backups(installation):
    for seed in range(SEEDS, SEEDS_IN_FULL):
        play(installation, seed)
        with installation.database.autocommit() as tx:
            tx.execute("DELETE FROM backups")
        shutil.rmtree(installation.settings.backups_folder, ignore_errors=True)

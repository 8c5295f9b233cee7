"""Random sequences of writes, backups, proofs, retentions, restores and deaths: what was proven last always comes back."""

from __future__ import annotations

from random import Random

import pytest

from catalog import backups, names
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

__all__ = ["installation"]
STEPS = 10
SEEDS, SEEDS_IN_FULL = 5, 200


class Story:
    """One project, what it has to hold, and what each of its backups has to."""

    def __init__(self, infra, seed):
        self.infra, self.chance = infra, Random(seed)
        self.id = add_project(infra)
        self.twins = []
        run_here(infra, write(infra, ProvisionProject(self.id)))
        self.sql("CREATE TABLE kept (n int PRIMARY KEY)")
        self.rows, self.next, self.before = set(), 0, None
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

    def erase(self):
        for row in self.chance.sample(sorted(self.rows), min(2, len(self.rows))):
            self.sql(f"DELETE FROM kept WHERE n = {row}")
            self.rows.remove(row)

    def back_up(self):
        job = self.carry(BackupProject(self.id))
        assert job.status == "succeeded", job.error
        self.held[job.result["backupId"]] = set(self.rows)

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
            self.before, self.rows = set(self.rows), set(self.held[chosen.id])

    def undo(self):
        job = self.carry(UndoRestore(self.id))
        assert job.status == ("failed" if self.before is None else "succeeded"), job.error
        if self.before is not None:
            self.rows, self.before = self.before, None

    def prove_all(self):
        """The newest one that was proven becomes a project of its own that holds what was written then."""
        assert self.sql("SELECT n FROM kept") == self.rows
        proven = [backup for backup in self.listed() if backup.verified_at]
        if not proven:
            return
        newest = max(proven, key=lambda backup: backup.created_at)
        self.twins.append(add_project(self.infra, status="restoring"))
        job = self.carry(RestoreProject(self.twins[-1], newest.id))
        assert job.status == "succeeded", job.error
        assert self.sql("SELECT n FROM kept", self.twins[-1]) == self.held[newest.id]

    def left_over(self):
        folder = self.infra.settings.backups_folder
        files = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        wanted = {f"{backup.stem}{end}" for backup in self.listed() for end in (".sql.gz.gpg", ".manifest.json")}
        with self.infra.database.autocommit() as tx:
            rows = tx.rows("SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{self.id}\\_%",))
            roles = tx.rows("SELECT rolname FROM pg_roles WHERE rolname LIKE '%%\\_restore'")
        beside = {row["datname"] for row in rows} - {names.staging(self.id, "before")}
        return files ^ wanted, beside, roles

    def close(self):
        for project in (self.id, *self.twins):
            drop(self.infra, project)


ACTS = ("write", "write", "erase", "back_up", "back_up", "verify", "age", "retain", "restore", "undo")


def play(infra, seed):
    story = Story(infra, seed)
    try:
        story.write()
        for _ in range(STEPS):
            act = story.chance.choice(ACTS)
            story.log.append(act)
            getattr(story, act)()
            assert story.sql("SELECT n FROM kept") == story.rows, story.log
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
        for path in installation.settings.backups_folder.glob("*"):
            path.unlink()

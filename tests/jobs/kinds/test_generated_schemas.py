"""Random schemas go through everything that a backup is for, and are the same at the end of each."""

from __future__ import annotations

import shutil

import psycopg
import pytest

from catalog import backups, job_secrets
from jobs.backup.exports import path_of
from jobs.kinds.backup.backup import BackupProject
from jobs.kinds.backup.export import ExportProject
from jobs.kinds.backup.import_ import ImportProject
from jobs.kinds.backup.restore import RestoreProject
from jobs.kinds.backup.verify_backup import VerifyBackup
from tests.fixtures.projects import add_project, drop, stored_tenant
from tests.fixtures.schemas import drawn
from tests.fixtures.world import changes, world

pytestmark = pytest.mark.gpg

AT_A_TIME = 20
# Of all statements so many have to be accepted, or the schemas say little.
MOST_REFUSED = 0.1


class Chain:
    """One project with schemas in it, and the way of its backup."""

    def __init__(self, life, schemas):
        self.life, self.engine, self.infra = life, life.engine, life.infra
        life.provision()
        self.refused = self.furnish(schemas)
        self.before = world(life.tenant())
        self.others = []

    def furnish(self, schemas):
        tenant, refused, count = self.life.tenant(), [], 0
        part = {
            f"{{{name}}}": role
            for name, role in zip(("anon", "authenticated", "service"), tenant.roles.api, strict=True)
        }
        with tenant.connect(tenant.roles.owner) as owner, tenant.connect(tenant.roles.authenticator) as other:
            owner.execute("SET client_min_messages = error")
            other.execute(f'SET ROLE "{tenant.roles.service}"')
            for statement in (each for schema in schemas for each in schema):
                text, count = statement.text, count + 1
                for word, role in part.items():
                    text = text.replace(word, f'"{role}"')
                try:
                    (other if statement.service else owner).execute(text.encode())
                except psycopg.Error as error:
                    # One that cannot be finished is what that statement is for.
                    if "CONCURRENTLY" not in text:
                        refused.append(f"{error.sqlstate} {error.diag.message_primary}: {text}")
        assert len(refused) < MOST_REFUSED * count, "\n".join(refused)
        return refused

    def do(self, arguments):
        job = self.engine.enqueue(arguments)
        self.engine.runner.drain()
        done = self.engine.job(job.id)
        assert done.status == "succeeded", f"{arguments}: {done.error}"
        assert done.result.get("lacking") is None
        return done

    def is_the_same(self, project, after):
        found = changes(self.before, world(stored_tenant(self.infra, project)))
        assert found == [], f"{after}: " + "\n".join(found)

    def passphrase(self):
        with self.infra.database.transaction() as tx:
            return job_secrets.store(tx, self.infra.vault, "a passphrase of the tests")

    def anew(self):
        self.others.append(add_project(self.infra, status="restoring"))
        return self.others[-1]

    def goes_all_the_way(self):
        project = self.life.id
        backup = self.do(BackupProject(project)).result["backupId"]
        self.do(VerifyBackup(project, backup))
        self.do(RestoreProject(project, backup))
        self.is_the_same(project, "restore")
        self.do(RestoreProject(self.anew(), backup))
        self.is_the_same(self.others[-1], "restore as new")
        export = self.do(ExportProject(project, self.passphrase()))
        folder = self.infra.settings.imports_folder
        folder.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(path_of(self.infra.settings.exports_folder, project, export.id), folder / "x.gpg")
        self.do(ImportProject(self.anew(), "x.gpg", "sql.gz", self.passphrase()))
        self.is_the_same(self.others[-1], "import")
        self.is_undeleted()

    def is_undeleted(self):
        project = self.life.id
        assert self.life.delete().status == "succeeded"
        with self.infra.database.autocommit() as tx:
            backup = backups.newest(tx, project)
            tx.execute("UPDATE projects SET status = 'restoring' WHERE id = %s", (project,))
        self.do(RestoreProject(project, backup.id))
        self.is_the_same(project, "undelete")

    def leave(self):
        for project in self.others:
            drop(self.infra, project)


def all_the_way(life, schemas):
    chain = Chain(life, schemas)
    try:
        chain.goes_all_the_way()
    finally:
        chain.leave()


def test_twenty_random_schemas_come_back_from_everything_a_backup_is_for(life):
    all_the_way(life, drawn(AT_A_TIME, 1))


@pytest.mark.full
@pytest.mark.parametrize("number", range(2, 12))
def test_two_hundred_random_schemas_come_back_from_everything_a_backup_is_for(life, number):
    all_the_way(life, drawn(AT_A_TIME, number))

"""A project on which jobs are tried, and everything that is promised of it: what there is outside, and what is said of it."""

from __future__ import annotations

import re
import time
from contextlib import suppress

import psycopg

from catalog import backups, names
from catalog.secrets import SecretMissing
from infra.errors import Unavailable
from jobs.backup import backups as sets
from jobs.engine import kind as kinds
from jobs.engine.lease import Leases
from jobs.engine.runner import Runner
from jobs.engine.table import FINAL, find
from jobs.kinds.backup.backup import BackupProject
from jobs.kinds.project.provision import ProvisionProject
from tests.crash.carrying import ledger, run_here, seen, status, steps, write
from tests.fixtures.beats import beating
from tests.fixtures.projects import add_project, drop, stored_tenant
from tests.fixtures.stored_files import StoredFiles

STEM = re.compile(r"(proj_[0-9a-f]{16}|platform)_[0-9]{8}_[0-9]{6}")
JOB = re.compile(r"job_[0-9a-f]{32}")
ROWS = 100
FILES = {"one.txt": b"one", "two.bin": bytes(range(256)) * 2000}
END_SECONDS = 60.0


class Place:
    """A project with rows, on which a job is tried; `backed_up`: with a backup of them."""

    def __init__(self, settings, infra, *, bare: bool = False, backed_up: bool = True):
        self.settings, self.infra = settings, infra
        self.id = add_project(infra)
        self.others: list[str] = []
        if bare:
            return
        self.run(ProvisionProject(self.id))
        self.sql(f"CREATE TABLE notes AS SELECT n FROM generate_series(1, {ROWS}) n")
        StoredFiles(infra, self.id).put(**FILES)
        if backed_up:
            self.back_up()

    def back_up(self) -> None:
        """Back it up as it is now; that is what `backup` names from now on."""
        job = self.run(BackupProject(self.id))
        with self.infra.database.autocommit() as tx:
            self.backup = backups.of_job(tx, job.id)

    def sql(self, statement):
        tenant = stored_tenant(self.infra, self.id)
        with tenant.connect(tenant.roles.owner) as owner:
            owner.execute(statement)

    def run(self, arguments):
        job = write(self.infra, arguments)
        run_here(self.infra, job)
        return job

    def passwords(self) -> dict[str, str]:
        """Return what the project's logins have; nothing while it has no secrets."""
        try:
            return stored_tenant(self.infra, self.id).passwords
        except (SecretMissing, KeyError):
            return {}

    def set_status(self, wanted: str) -> None:
        with self.infra.database.autocommit() as tx:
            tx.execute("UPDATE projects SET status = %s WHERE id = %s", (wanted, self.id))

    def close(self):
        for project in (self.id, *self.others):
            with self.infra.databases.cluster.session("test") as admin:
                for use in names.STAGING_USES:
                    admin.execute(f'DROP DATABASE IF EXISTS "{project}_{use}" WITH (FORCE)')
            drop(self.infra, project)

    def world(self, project):
        """Everything outside, and all that the catalogue promises of it, with the project's own id left out."""
        things = seen(self.infra, project), ledger(self.infra, project), status(self.infra, project)
        return (
            self._on_the_server(project),
            *self._inside(project),
            self._files(project),
            *self._listed(project),
            things,
            self._served(project),
            self._secrets(project),
            self._stored(project),
        )

    def _on_the_server(self, project):
        with psycopg.connect(self.infra.database.conninfo) as admin:
            found = admin.execute(
                "SELECT 'database', datname, datconnlimit, datallowconn, datacl::text FROM pg_database"
                " WHERE datname LIKE %(like)s UNION ALL"
                " SELECT 'role', rolname, rolconnlimit, rolcanlogin, rolconfig::text FROM pg_roles"
                " WHERE rolname LIKE %(like)s ORDER BY 1, 2",
                {"like": f"{project}%"},
            ).fetchall()
        return [(kind, _plain(name, project), *more, _rights(acl, project)) for kind, name, *more, acl in found]

    def _inside(self, project):
        """Return how many rows there are and whose they are."""
        try:
            with psycopg.connect(self.infra.database.conninfo, dbname=project) as admin:
                rows = admin.execute("SELECT count(*) FROM public.notes").fetchone()
                rights = admin.execute("SELECT relacl::text FROM pg_class WHERE relname = 'notes'").fetchone()
                more = admin.execute(
                    "SELECT 'extension', extname FROM pg_extension UNION ALL SELECT 'table', relname FROM pg_class"
                    " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace UNION ALL"
                    " SELECT 'users', count(*)::text FROM auth.users UNION ALL"
                    " SELECT 'function', 'auth.email' WHERE to_regproc('auth.email') IS NOT NULL ORDER BY 1, 2"
                ).fetchall()
        except psycopg.Error:
            return None, None, None
        return rows, _plain(str(rights), project), more

    def _files(self, project):
        folders = [self.settings.backups_folder, self.settings.exports_folder, self.settings.imports_folder]
        found = [(folder.name, path.name) for folder in folders if folder.is_dir() for path in folder.iterdir()]
        return sorted((folder, _plain(JOB.sub("<job>", STEM.sub("<set>", name)), project)) for folder, name in found)

    def _listed(self, project):
        """Return of each backup what is said of it and whether it can be restored: every byte of it is read."""
        with self.infra.database.autocommit() as tx:
            listed = backups.page(tx, project, before=None, limit=50)
            begun = tx.value("SELECT count(*) FROM backups WHERE finished_at IS NULL")
            kept = tx.value("SELECT count(*) FROM kept_databases WHERE project_id = %s", (project,))
        # A set that does not open raises, and names what is wrong.
        said = [(row.final, bool(row.verified_at), sets.opened(self.infra, row.stem).contents.rows) for row in listed]
        return _plain(str(said), project), begun, kept

    def _served(self, project):
        return (self.settings.instances_folder / project / "data-api.conf").exists()

    def _stored(self, project):
        """Return what is served of its files, how many there are bytes of, and how many copies backups need.

        What nobody needs any more was removed by then, as retention does.
        """
        files, objects = StoredFiles(self.infra, project), sets.store(self.infra).objects
        try:
            with psycopg.connect(self.infra.database.conninfo, dbname=project) as admin:
                rows = admin.execute(
                    "SELECT name, id::text || '.' || version FROM storage.objects ORDER BY 1"
                ).fetchall()
        except psycopg.Error:
            rows = []
        objects.sweep(project)
        return [(name, files.read(blob)) for name, blob in rows], len(files.blobs()), len(objects.sizes(project))

    def _secrets(self, project):
        """Return which secrets there are, and in how many versions."""
        with self.infra.database.autocommit() as tx:
            rows = tx.rows(
                "SELECT name, count(*) AS versions FROM secrets WHERE scope = %s OR name LIKE 'job %%' GROUP BY 1",
                (project,),
            )
        return sorted((_plain(row["name"], project), row["versions"]) for row in rows)


def _plain(text: str, project: str) -> str:
    return text.replace(project, "<id>")


def _rights(acl: str | None, project: str) -> list[str]:
    return sorted(_plain(acl or "", project).strip("{}").split(","))


def carry_on(infra, job) -> dict[str, str]:
    """Have other workers take the job up until it ends, its rests over at once; return its steps. It has to succeed."""
    leases = Leases(infra.database, infra.settings, worker="here")
    runner = Runner(infra, leases, worker="here", queues=["control", "bulk"], serves=sorted(kinds.kinds()))
    deadline, ended = time.monotonic() + END_SECONDS, None
    with beating(leases):
        while ended is None or ended.status not in FINAL:
            assert time.monotonic() < deadline, f"it does not end: {ended}"
            with suppress(Unavailable):
                with infra.database.autocommit() as tx:
                    tx.execute("UPDATE jobs SET run_at = now(), claim_after = now() WHERE status = 'retrying'")
                runner.drain()
                with infra.database.autocommit() as tx:
                    ended = find(tx, job.id)
    assert ended.status == "succeeded", ended.error
    return steps(infra, job)

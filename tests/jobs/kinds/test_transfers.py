"""A project moves to another host in one file, and is there what it was here."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from dataclasses import asdict, replace

import psycopg
import pytest
from psycopg.types.json import Jsonb

from catalog import job_secrets, names, projects, secrets
from catalog.ids import new_id
from infra.backup import transfer
from infra.backup.differences import serious_differences
from infra.backup.fingerprint import open_reader
from infra.errors import Refused
from infra.gpg import Gpg
from infra.postgres.role_names import ProjectRoles
from jobs.backup import importing
from jobs.backup.exports import path_of
from jobs.engine.crash import EXIT_STATUS
from jobs.kinds.backup.backup import BackupProject
from jobs.kinds.backup.export import ExportProject
from jobs.kinds.backup.import_ import ImportProject
from jobs.kinds.backup.verify_backup import VerifyBackup
from jobs.kinds.project.provision import ProvisionProject
from tests.crash.attempts import attempt_in_a_process
from tests.crash.carrying import pass_on
from tests.crash.places import places
from tests.fixtures.projects import add_project, drop, stored_tenant
from tests.infra.test_backup_roundtrip import furnish
from tests.jobs.conftest import Engine

pytestmark = pytest.mark.gpg

PASSPHRASE = "a passphrase of the tests"


class Moves:
    """A furnished project, and the host that it moves to."""

    def __init__(self, infra, other, form="sql.gz"):
        infra.settings = infra.settings.model_copy(update={"lease_seconds": 60.0, "backup_format": form})
        self.here, self.there = infra, other
        self.engine, self.engine_there = Engine(infra), Engine(other)
        self.id = add_project(infra, name="shop")
        self.do(ProvisionProject(self.id))
        furnish(stored_tenant(infra, self.id))
        with infra.database.transaction() as tx:
            secrets.put(tx, infra.vault, self.id, "smtp_password", "the shop's mail password")
            kept = {"maxRows": 77, "connections": 25}
            tx.execute("INSERT INTO project_settings (project_id, version, settings) VALUES (%s, 1, %s)",
                       (self.id, Jsonb(kept)))  # fmt: skip
        self.made = [self.id]

    def do(self, arguments, engine=None):
        engine = engine or self.engine
        job = engine.enqueue(arguments)
        engine.runner.drain()
        return engine.job(job.id)

    def passphrase(self, infra):
        with infra.database.transaction() as tx:
            return job_secrets.store(tx, infra.vault, PASSPHRASE)

    def export(self):
        job = self.do(ExportProject(self.id, self.passphrase(self.here)))
        assert (job.status, job.error) == ("succeeded", None)
        return path_of(self.here.settings.exports_folder, self.id, job.id)

    def carry(self, path):
        """Lay the file into the imports folder over there; return its name."""
        folder = self.there.settings.imports_folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(path, folder / "shop.gpg")
        return "shop.gpg"

    def take_in(self, *, keep, name="shop"):
        """Write the project over there that is to be; return its id."""
        with self.there.database.transaction() as tx:
            owner = new_id("own")
            tx.execute(
                "INSERT INTO owners (id, email, password_hash) VALUES (%s, %s, '$argon2id$none')",
                (owner, f"{owner}@x.org"),
            )
            values = {"name": name, "pool_size": 5, "quota": 0}
            if keep:
                projects.create_imported(tx, self.id, owner, **values)
                return self.id
            made = projects.create(tx, owner, **values)
            projects.mark_restoring(tx, made.id)
        self.made.append(made.id)
        return made.id

    def import_(self, file, project, form="sql.gz"):
        return self.do(ImportProject(project, file, form, self.passphrase(self.there)), self.engine_there)

    def contents(self, infra, project):
        tenant = stored_tenant(infra, project)
        with open_reader(
            tenant.infra.databases.cluster, tenant.uri(tenant.roles.dump), "test", project=project
        ) as look:
            return look.read(lambda: None)

    def known(self, infra, project):
        with infra.database.autocommit() as tx:
            return dict(secrets.read_all(tx, infra.vault, project))

    def lose_here(self):
        """The old host is switched off: its database and roles leave the server that the tests share."""
        self.here.databases.drop_database(self.id, ProjectRoles(self.id), "test")
        self.here.databases.drop_roles(ProjectRoles(self.id), "test")

    def status(self, infra, project):
        with infra.database.autocommit() as tx:
            return tx.row("SELECT status, status_reason, name FROM projects WHERE id = %s", (project,))

    def close(self):
        self.engine.close()
        self.engine_there.close()
        for project in self.made:
            drop(self.here, project)


@pytest.fixture
def moves(infra, other, master_key):
    made = Moves(infra, other)
    yield made
    made.close()


@pytest.mark.parametrize("form", ["sql.gz", "dump.zst"])
def test_the_same_project_is_there_what_it_was_here(form, infra, other, master_key):
    moves = Moves(infra, other, form)
    try:
        before, known = moves.contents(infra, moves.id), moves.known(infra, moves.id)
        rows = rows_of(infra, moves.id)
        file = moves.carry(moves.export())
        moves.lose_here()
        project = moves.take_in(keep=True)
        job = moves.import_(file, project, form)
        assert (job.status, job.error) == ("succeeded", None)
        assert moves.status(other, project) == {"status": "active", "status_reason": None, "name": "shop"}
        assert serious_differences(before, moves.contents(other, project)) == []
        assert rows_of(other, project) == rows
        after = moves.known(other, project)
        kept = {names.JWT_SECRET, names.ANON_KEY, names.SERVICE_KEY, "smtp_password"}
        assert {name: after[name] for name in kept} == {name: known[name] for name in kept}
        roles = names.roles(project)
        assert all(after[names.password(login)] != known[names.password(login)] for login in roles.logins)
        with other.database.autocommit() as tx:
            settings = tx.value("SELECT settings FROM project_settings WHERE project_id = %s", (project,))
        assert settings == {"maxRows": 77, "connections": 25}
        assert (other.settings.instances_folder / project / "data-api.conf").exists()
        assert list(other.settings.imports_folder.iterdir()) == []
    finally:
        moves.close()


def rows_of(infra, project):
    """What every row is, as text, so that no difference of it is overlooked."""
    tenant = stored_tenant(infra, project)
    with psycopg.connect(infra.database.conninfo, dbname=project, autocommit=True) as admin:
        assert tenant.id == project
        tables = admin.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'launchdb') ORDER BY 1"
        ).fetchall()
        return {
            name: admin.execute(
                f"SELECT count(*), md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {name} t"
            ).fetchone()
            for (name,) in tables
        }


def test_with_new_keys_it_is_another_project_beside_the_first(moves):
    before, known = moves.contents(moves.here, moves.id), moves.known(moves.here, moves.id)
    rows = rows_of(moves.here, moves.id)
    file = moves.carry(moves.export())
    project = moves.take_in(keep=False)
    job = moves.import_(file, project)
    assert (job.status, job.error) == ("succeeded", None)
    assert serious_differences(before, moves.contents(moves.there, project)) == []
    assert rows_of(moves.there, project) == rows
    after = moves.known(moves.there, project)
    for name in (names.JWT_SECRET, names.ANON_KEY, names.SERVICE_KEY):
        assert after[name] != known[name]
    assert rows_of(moves.here, moves.id) == rows, "the first is as it was"
    with moves.there.database.autocommit() as tx:
        backup = tx.value("SELECT id FROM backups WHERE scope = %s", (project,))
    proven = moves.do(VerifyBackup(project, backup), moves.engine_there)
    assert (proven.status, proven.error) == ("succeeded", None), "it is the first backup of the project there"


def test_the_file_is_one_only_we_may_read_and_nothing_is_plain_in_it(moves):
    path = moves.export()
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_bytes()
    for word in (b"a@example.org", b"public", b"shop", moves.id.encode(), b"database"):
        assert word not in content
    assert {each.name for each in path.parent.iterdir()} == {path.name}
    with moves.here.database.autocommit() as tx:
        assert tx.rows("SELECT name FROM secrets WHERE name LIKE 'job %%'") == []
        assert PASSPHRASE not in str(tx.rows("SELECT to_jsonb(j) FROM jobs j"))


def test_a_backup_that_waits_already_is_not_taken_for_the_export_s_own(moves):
    waiting = moves.engine.enqueue(BackupProject(moves.id))
    moves.export()
    assert moves.engine.job(waiting.id).status == "succeeded"
    with moves.here.database.autocommit() as tx:
        assert tx.value("SELECT count(*) FROM backups WHERE scope = %s", (moves.id,)) == 2


def test_plain_tools_read_it(moves, tmp_path):
    path = moves.export()
    words = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase-fd", "0", "--decrypt", path]
    tar = subprocess.run(
        words,
        input=PASSPHRASE.encode(),
        capture_output=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    ).stdout
    packed = subprocess.run(
        ["tar", "--extract", "--to-stdout", "--wildcards", "database.*"], input=tar, capture_output=True, check=True
    ).stdout
    text = subprocess.run(["gunzip"], input=packed, capture_output=True, check=True).stdout
    assert b"-- PostgreSQL database dump complete" in text[-200:]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no export at all"),
        lambda path: path.unlink(),
    ],
    ids=["a flipped bit", "cut short", "empty", "something else", "missing"],
)
def test_a_damaged_file_is_named_and_leaves_nothing(moves, damage):
    file = moves.carry(moves.export())
    damage(moves.there.settings.imports_folder / file)
    project = moves.take_in(keep=False)
    job = moves.import_(file, project)
    assert job.status == "failed"
    assert "shop.gpg" in job.error["detail"] or "the export is not whole" in job.error["detail"]
    assert moves.status(moves.there, project) is None, "neither its name nor its id is in the way of another import"
    folder = moves.there.settings.backups_folder
    assert not folder.exists() or list(folder.iterdir()) == []
    with moves.there.database.autocommit() as tx:
        assert tx.value("SELECT count(*) FROM backups") == 0
        assert tx.value("SELECT count(*) FROM pg_database WHERE datname LIKE %s", (f"{project}%",)) == 0


def test_after_a_flipped_bit_the_same_project_can_be_imported_from_a_whole_file(moves):
    export = moves.export()
    file = moves.carry(export)
    flip(moves.there.settings.imports_folder / file)
    moves.lose_here()
    job = moves.import_(file, moves.take_in(keep=True))
    assert (job.status, moves.status(moves.there, moves.id)) == ("failed", None)
    file = moves.carry(export)
    job = moves.import_(file, moves.take_in(keep=True))
    assert (job.status, job.error) == ("succeeded", None)
    assert moves.status(moves.there, moves.id)["status"] == "active"


def rewritten(moves, path, change):
    """The same export with another head, as somebody could make it who knows the passphrase."""
    gpg, target = Gpg(moves.here.settings.run_folder / "gnupg"), path.with_name("changed.gpg")
    with transfer.open_export(path, gpg, PASSPHRASE) as (head, pieces, _files):
        packed = b"".join(pieces)
    transfer.write_export(target, change(head), io.BytesIO(packed), gpg, PASSPHRASE, files=(), look=lambda _done: None)
    return target


HOSTILE = {
    "a newer schema": (lambda h: replace(h, schema="9999_future"), "newer version"),
    "a newer Postgres": (lambda h: replace(h, postgres="99.1"), "Postgres 99.1"),
    "another version": (lambda h: replace(h, version=2), "another version"),
    "no project": (lambda h: replace(h, scope="../../etc"), "no export of a project"),
    "a strange format": (lambda h: replace(h, format="sh"), "no export of a project"),
    "no secrets": (lambda h: replace(h, details={**h.details, "secrets": {}}), "secrets"),
    "a weak secret": (
        lambda h: replace(h, details={**h.details, "secrets": {**h.details["secrets"], names.JWT_SECRET: "weak"}}),
        "too short",
    ),
    "a key of another role": (
        lambda h: replace(
            h, details={**h.details, "secrets": {**h.details["secrets"],
                                                 names.ANON_KEY: h.details["secrets"][names.SERVICE_KEY]}}
        ),
        "API keys",
    ),
    "no settings": (lambda h: replace(h, details={**h.details, "settings": 7}), "settings"),
}  # fmt: skip


def test_what_is_not_believed_of_an_export(moves):
    path = moves.export()
    for what, (change, said) in HOSTILE.items():
        changed = rewritten(moves, path, change)
        file = moves.carry(changed)
        changed.unlink()
        with pytest.raises(Refused, match=said):
            importing.inspect_export(moves.there, file, PASSPHRASE)
        assert what


def test_settings_beyond_what_a_host_allows_have_its_defaults(moves):
    file = moves.carry(moves.export())
    moves.there.settings = moves.there.settings.model_copy(update={"project_connections": 10})
    project = moves.take_in(keep=False)
    assert moves.import_(file, project).status == "succeeded"
    with moves.there.database.autocommit() as tx:
        settings = tx.value("SELECT settings FROM project_settings WHERE project_id = %s", (project,))
    assert settings == {"maxRows": 77}


def test_another_passphrase_is_told_at_once(moves):
    file = moves.carry(moves.export())
    with pytest.raises(Refused, match="the passphrase is another one"):
        importing.inspect_export(moves.there, file, "not the passphrase of it")


def test_an_id_that_is_taken_can_only_be_imported_with_new_keys(moves):
    with moves.here.database.transaction() as tx:
        owner = tx.value("SELECT owner_id FROM projects WHERE id = %s", (moves.id,))
        with pytest.raises(projects.ProjectExists, match="import it with new keys"):
            projects.create_imported(tx, moves.id, owner, name="again", pool_size=5, quota=0)


def test_a_member_that_does_not_belong_there_is_refused(moves, tmp_path):
    """Nothing is ever unpacked under a name that the file chooses."""
    path = moves.export()
    gpg = Gpg(moves.here.settings.run_folder / "gnupg")
    with transfer.open_export(path, gpg, PASSPHRASE) as (head, _pieces, _files):
        plain = tmp_path / "x.tar"
        with tarfile.open(plain, "w") as tar:
            (tmp_path / "head").write_text(json.dumps(asdict(head)))
            tar.add(tmp_path / "head", transfer.HEAD)
            (tmp_path / "evil").write_text("evil")
            tar.add(tmp_path / "evil", "../../../tmp/launchdb-pwned")
    target = tmp_path / "evil.gpg"
    with target.open("wb") as file, gpg.encrypting(PASSPHRASE, file) as sink:
        sink.write(plain.read_bytes())
    file = moves.carry(target)
    project = moves.take_in(keep=False)
    job = moves.import_(file, project)
    assert (job.status, "should not" in job.error["detail"]) == ("failed", True), job.error


@pytest.mark.parametrize("crash", places(ExportProject))
def test_an_export_killed_anywhere_is_one_whole_file_in_the_end(crash, settings, infra, master_key):
    project = add_project(infra, name="shop")
    engine = Engine(infra)
    try:
        engine.enqueue(ProvisionProject(project))
        engine.runner.drain()
        with infra.database.transaction() as tx:
            kept = job_secrets.store(tx, infra.vault, PASSPHRASE)
        job = engine.enqueue(ExportProject(project, kept))
        die(settings, crash)
        pass_on(infra)
        engine.runner.drain()
        assert engine.job(job.id).status == "succeeded", engine.job(job.id).error
        path = path_of(settings.exports_folder, project, job.id)
        assert [each.name for each in path.parent.iterdir()] == [path.name]
        with transfer.open_export(path, Gpg(settings.run_folder / "gnupg"), PASSPHRASE) as (head, pieces, coming):
            assert head.scope == project
            assert sum(len(piece) for piece in pieces) > 1000
            assert list(coming) == []
        with infra.database.autocommit() as tx:
            assert tx.value("SELECT count(*) FROM secrets WHERE name LIKE 'job %%'") == 0
    finally:
        engine.close()
        drop(infra, project)


def die(settings, crash):
    codes = [attempt_in_a_process(settings, crash=crash)]
    while codes[-1] != EXIT_STATUS and len(codes) < 4:
        codes.append(attempt_in_a_process(settings, crash=crash))
    assert codes[-1] == EXIT_STATUS, "the crash point was not reached"


@pytest.mark.parametrize("crash", places(ImportProject))
def test_an_import_killed_anywhere_is_one_project_in_the_end(crash, settings, infra, master_key):
    source, engine = add_project(infra, name="shop"), Engine(infra)
    made = [source]
    try:
        engine.enqueue(ProvisionProject(source))
        engine.runner.drain()
        with infra.database.transaction() as tx:
            kept = job_secrets.store(tx, infra.vault, PASSPHRASE)
        job = engine.enqueue(ExportProject(source, kept))
        engine.runner.drain()
        settings.imports_folder.mkdir(mode=0o700)
        shutil.copyfile(path_of(settings.exports_folder, source, job.id), settings.imports_folder / "shop.gpg")
        with infra.database.transaction() as tx:
            kept = job_secrets.store(tx, infra.vault, PASSPHRASE)
            owner = tx.value("SELECT owner_id FROM projects WHERE id = %s", (source,))
            project = projects.create(tx, owner, name="copy", pool_size=5, quota=0).id
            projects.mark_restoring(tx, project)
        made.append(project)
        job = engine.enqueue(ImportProject(project, "shop.gpg", "sql.gz", kept))
        die(settings, crash)
        pass_on(infra)
        engine.runner.drain()
        assert engine.job(job.id).status == "succeeded", engine.job(job.id).error
        with infra.database.autocommit() as tx:
            assert tx.value("SELECT status FROM projects WHERE id = %s", (project,)) == "active"
            assert tx.value("SELECT count(*) FROM backups WHERE scope = %s", (project,)) == 1
            assert tx.value("SELECT count(*) FROM secrets WHERE name LIKE 'job %%'") == 0
        assert list(settings.imports_folder.iterdir()) == []
        assert not [path for path in settings.backups_folder.iterdir() if path.name.startswith(".")]
        stored_tenant(infra, project).connect(names.roles(project).owner).close()
    finally:
        engine.close()
        for each in made:
            drop(infra, each)

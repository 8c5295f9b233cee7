"""Backups, their proof and their return, as jobs."""

from __future__ import annotations

import json
import shutil
import threading
import time
import uuid
from dataclasses import replace

import psycopg
import pytest

from catalog import backups, job_secrets, names
from catalog.ids import new_project_id
from infra.backup import keys, sets
from infra.backup.differences import serious_differences
from infra.backup.fingerprint import Fingerprint
from infra.blobs.local_folder import LocalFolder
from infra.blobs.store import blob_name
from infra.postgres.project_staging import ProjectStaging
from infra.postgres.role_names import ProjectRoles
from jobs.backup.exports import path_of
from jobs.kinds.backup.backup import BackupProject
from jobs.kinds.backup.export import ExportProject
from jobs.kinds.backup.forget_database import ForgetDatabase
from jobs.kinds.backup.import_ import ImportProject
from jobs.kinds.backup.restore import RestoreProject
from jobs.kinds.backup.retain_backups import RetainBackups
from jobs.kinds.backup.undo_restore import UndoRestore
from jobs.kinds.backup.verify_backup import VerifyBackup
from jobs.kinds.project.delete import DeleteProject
from tests.fixtures.projects import add_project, drop, stored_tenant
from tests.fixtures.successor import NEXT, opened, write_folder
from tests.jobs.conftest import Engine

pytestmark = pytest.mark.gpg

ROWS = "SELECT count(*), coalesce(sum(n), 0) FROM public.notes"


class Shop:
    """A project with rows in it, and what is done about its backups."""

    def __init__(self, life):
        self.life, self.engine, self.infra, self.id = life, life.engine, life.infra, life.id
        life.provision()
        self.sql(
            "CREATE TABLE notes (n int, body text);"
            "ALTER TABLE notes ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY all_of_it ON notes TO anon USING (n > 5);"
            "INSERT INTO notes SELECT n, repeat('x', n) FROM generate_series(1, 100) n"
        )
        self.before = self.folder_of_files()

    @property
    def folder(self):
        return self.infra.settings.backups_folder

    def sql(self, statement, project=None):
        tenant = stored_tenant(self.infra, project or self.id)
        with tenant.connect(tenant.roles.owner) as owner:
            found = owner.execute(statement)
            return found.fetchone() if found.description else None

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

    def restore(self, backup, project=None):
        return self.do(RestoreProject(project or self.id, backup.id))

    def listed(self):
        with self.infra.database.autocommit() as tx:
            return backups.page(tx, self.id, before=None, limit=50)

    def folder_of_files(self):
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []

    def databases(self):
        with self.infra.database.autocommit() as tx:
            rows = tx.rows("SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{self.id}%",))
            return {row["datname"].removeprefix(self.id) for row in rows}

    def roles(self):
        with self.infra.database.autocommit() as tx:
            rows = tx.rows("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", (f"{self.id}%",))
            return {row["rolname"] for row in rows}

    def leave(self):
        with self.infra.databases.cluster.session("test") as admin:
            for use in names.STAGING_USES:
                admin.execute(f'DROP DATABASE IF EXISTS "{self.id}_{use}" WITH (FORCE)')


@pytest.fixture
def shop(life):
    made = Shop(life)
    yield made
    made.leave()


def test_numbers_given_out_during_a_backup_are_no_difference(shop):
    """A sequence moves on whatever a snapshot shows: the dump has it as it was at some moment of the backup."""
    shop.sql("CREATE SEQUENCE up; CREATE SEQUENCE down INCREMENT -1; CREATE SEQUENCE still; SELECT nextval('still')")
    over = threading.Event()

    def use() -> None:
        tenant = stored_tenant(shop.infra, shop.id)
        with tenant.connect(tenant.roles.owner) as owner:
            while not over.is_set():
                owner.execute("SELECT nextval('up'), nextval('down') FROM generate_series(1, 20)")

    clients = threading.Thread(target=use)
    clients.start()
    try:
        taken = [shop.back_up() for _ in range(3)]
    finally:
        over.set()
        clients.join()
    for backup in taken:
        assert (shop.verify(backup).status, shop.engine.job(backup.job_id).error) == ("succeeded", None)
    restored = shop.restore(taken[-1])
    assert (restored.status, restored.error) == ("succeeded", None)


def test_a_sequence_that_is_behind_or_lost_is_a_difference():
    kept = Fingerprint(
        {}, {"sequence a": 5, "sequence b": -5, "large objects": 2}, {}, {"sequence a": 9, "sequence b": -9}
    )

    def faults_of(**found: int) -> list[str]:
        figures = {"sequence a": 7, "sequence b": -7, "large objects": 2, **found}
        return serious_differences(kept, Fingerprint({}, figures, {}))

    assert faults_of() == []
    assert faults_of(**{"sequence a": 4}) == ["sequence a: 4 instead of 5 to 9"]
    assert faults_of(**{"sequence b": -10}) == ["sequence b: -10 instead of -9 to -5"]
    assert faults_of(**{"large objects": 3}) == ["large objects: 3 instead of 2"]
    # A set that was made before there was a second look.
    before = Fingerprint.from_json({"rows": {}, "figures": {"sequence a": 5, "large objects": 2}, "objects": {}})
    assert serious_differences(before, Fingerprint({}, {"sequence a": 8, "large objects": 2}, {})) == []
    assert serious_differences(before, Fingerprint({}, {"sequence a": 4, "large objects": 3}, {})) == [
        "sequence a: 4 instead of 5 to inf",
        "large objects: 3 instead of 2",
    ]


def test_a_backup_is_a_file_and_a_manifest_that_only_we_may_read(shop):
    backup = shop.back_up()
    name = f"{backup.stem}.sql.gz.gpg"
    assert shop.folder_of_files() == [f"{backup.stem}.manifest.json", name]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in shop.folder.iterdir())
    assert backup.bytes == (shop.folder / name).stat().st_size
    assert (backup.verified_at, backup.scope) == (None, shop.id)
    text = sets.manifest_path(shop.folder, backup.stem).read_text()
    assert "notes" not in text, "what a tenant calls things is sealed"
    with shop.infra.database.autocommit() as tx:
        assert "notes" not in json.dumps(tx.rows("SELECT * FROM job_events"), default=str)


def test_a_paused_project_is_backed_up_as_well(shop):
    with shop.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'paused' WHERE id = %s", (shop.id,))
    assert shop.back_up().bytes > 0


def test_two_backups_in_one_second_have_two_names(shop):
    assert shop.back_up().stem != shop.back_up().stem


def test_a_verified_backup_leaves_nothing_but_its_proof(shop):
    backup = shop.back_up()
    job = shop.verify(backup)
    assert (job.status, job.error) == ("succeeded", None)
    assert (job.result["restoreMs"] > 0, job.result["tablesAsked"]) == (True, 1)
    assert job.result["rows"] == 101, "of Storage there is one that counts"
    again = shop.listed()[0]
    assert (again.verified_at is not None, again.verify_error, again.verify_ms > 0) == (True, None, True)
    assert shop.databases() == {""}
    assert shop.roles() == set(ProjectRoles(shop.id).all)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "a flipped bit": (flip, "was changed"),
    "a truncated file": (lambda path: path.write_bytes(path.read_bytes()[:-7]), "bytes instead of"),
    "an empty file": (lambda path: path.write_bytes(b""), "0 bytes instead of"),
    "a doubled file": (lambda path: path.write_bytes(path.read_bytes() * 2), "bytes instead of"),
    "a missing file": (lambda path: path.unlink(), "is missing"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_before_anything_is_touched(damage, shop):
    act, word = DAMAGES[damage]
    backup = shop.back_up()
    act(shop.folder / f"{backup.stem}.sql.gz.gpg")
    for job in (shop.verify(backup), shop.restore(backup)):
        assert job.status == "failed"
        assert word in job.error["detail"]
        assert f"{backup.stem}.sql.gz.gpg" in job.error["detail"]
    assert word in shop.listed()[0].verify_error
    assert shop.databases() == {""}
    assert shop.sql(ROWS)[0] == 100


def test_files_of_two_backups_cannot_be_exchanged(shop):
    first = shop.back_up()
    shop.sql("DELETE FROM notes")
    second = shop.back_up()
    one, other = (shop.folder / f"{backup.stem}.sql.gz.gpg" for backup in (first, second))
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    assert "instead of" in shop.verify(first).error["detail"]
    one.write_bytes(kept)
    shutil.copy(sets.manifest_path(shop.folder, second.stem), sets.manifest_path(shop.folder, first.stem))
    assert "belongs to another backup" in shop.verify(first).error["detail"]


def test_a_manifest_that_was_changed_or_is_missing_is_named(shop):
    backup = shop.back_up()
    path = sets.manifest_path(shop.folder, backup.stem)
    text = path.read_text()
    path.write_text(text.replace('"database_bytes": ', '"database_bytes": 1'))
    assert "its signature does not fit" in shop.verify(backup).error["detail"]
    path.write_text(text[:100])
    assert "is no manifest" in shop.verify(backup).error["detail"]
    path.unlink()
    assert "has no manifest" in shop.verify(backup).error["detail"]


def test_a_backup_whose_key_is_gone_says_which_one_it_needs(shop):
    backup = shop.back_up()
    key = shop.infra.settings.secrets_folder / "BACKUP_ENCRYPTION_KEY"
    key.write_text("another-key-that-is-long-enough-0123456789")
    assert f"needs the backup key {backup.key_id}" in shop.verify(backup).error["detail"]


def test_a_restore_takes_the_project_back_and_keeps_what_was_there(shop):
    backup = shop.back_up()
    shop.sql("DELETE FROM notes; CREATE TABLE later (id int)")
    job = shop.restore(backup)
    assert (job.status, job.error) == ("succeeded", None)
    assert shop.sql(ROWS) == (100, 5050)
    assert shop.sql("SELECT to_regclass('public.later')") == (None,)
    assert shop.databases() == {"", "_before"}
    assert shop.roles() == set(ProjectRoles(shop.id).all)
    shop.life.tenant().connect(shop.life.tenant().roles.auth).close()


def test_a_restore_can_be_undone_with_one_job(shop):
    backup = shop.back_up()
    shop.sql("INSERT INTO notes VALUES (1000, 'after the backup')")
    shop.restore(backup)
    job = shop.do(UndoRestore(shop.id))
    assert (job.status, job.error) == ("succeeded", None)
    assert shop.sql(ROWS)[0] == 101
    assert shop.databases() == {""}
    assert shop.do(UndoRestore(shop.id)).status == "failed"


def test_what_was_there_before_goes_by_itself_after_a_day(shop):
    job = shop.restore(shop.back_up())
    assert shop.do(RetainBackups()).status == "succeeded"
    assert shop.do(ForgetDatabase(shop.id, "job_of_another_restore")).status == "succeeded"
    assert shop.databases() == {"", "_before"}
    with shop.infra.database.autocommit() as tx:
        tx.execute("UPDATE kept_databases SET kept_until = kept_until - interval '24 hours 1 minute'")
    assert shop.do(RetainBackups()).result["databases"] == 1
    assert shop.databases() == {""}
    assert shop.do(UndoRestore(shop.id)).status == "failed"
    assert job.result["undoUntil"] > job.result["undoUntil"][:10]


def test_a_project_serves_while_it_is_restored_and_is_away_for_a_moment_only(shop):
    shop.sql("CREATE TABLE ballast AS SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 20000) n")
    backup = shop.back_up()
    uri = shop.life.tenant().uri(shop.life.tenant().roles.owner)
    gaps, stop = [], threading.Event()

    def ask():
        last = time.monotonic()
        while not stop.is_set():
            try:
                with psycopg.connect(uri, autocommit=True, connect_timeout=2) as session:
                    session.execute("SELECT count(*) FROM notes")
            except psycopg.OperationalError:
                time.sleep(0.002)
                continue
            gaps.append(time.monotonic() - last)
            last = time.monotonic()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    job = shop.restore(backup)
    stop.set()
    thread.join(10)
    assert job.status == "succeeded"
    assert len(gaps) > 20
    assert max(gaps) < 3.0, "a second, and what a slow machine adds"


def test_a_backup_becomes_a_project_of_its_own_with_keys_of_its_own(shop):
    with shop.life.tenant().connect(shop.life.tenant().roles.auth) as auth:
        auth.execute("INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'a@example.org')")
    backup = shop.back_up()
    other = add_project(shop.infra, status="restoring")
    try:
        job = shop.restore(backup, other)
        assert (job.status, job.error) == ("succeeded", None)
        assert shop.sql(ROWS, other) == (100, 5050)
        known = stored_tenant(shop.infra, other)
        with known.connect(known.roles.auth) as auth:
            assert auth.execute("SELECT count(*) FROM auth.users").fetchone() == (1,)
        with known.as_admin() as admin:
            assert admin.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'notes'").fetchone() == (
                f"{other}_owner",
            )
        with shop.infra.database.autocommit() as tx:
            assert tx.value("SELECT status FROM projects WHERE id = %s", (other,)) == "active"
        assert (shop.infra.settings.instances_folder / other).exists()
        shop.sql("INSERT INTO notes VALUES (7, 'only here')", other)
        assert shop.sql(ROWS)[0] == 100, "the first one has its own"
    finally:
        drop(shop.infra, other)


def test_a_deleted_project_comes_back_with_the_keys_its_clients_have(shop):
    backup, keys = shop.back_up(), shop.life.secrets()
    shop.life.delete()
    with shop.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'restoring' WHERE id = %s", (shop.id,))
    job = shop.restore(backup)
    assert (job.status, job.error) == ("succeeded", None)
    assert shop.sql(ROWS) == (100, 5050)
    now = shop.life.secrets()
    assert {name: now[name] == keys[name] for name in keys} == {
        **dict.fromkeys((names.JWT_SECRET, names.ANON_KEY, names.SERVICE_KEY), True),
        **{names.password(login): False for login in ProjectRoles(shop.id).logins},
        names.MAIL_KEY: False,
    }


def test_a_restore_that_fails_leaves_the_project_and_nothing_else(shop):
    """A statement of the dump fails: a table's default calls a function that refuses to be called there."""
    shop.sql(
        "CREATE FUNCTION picky(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS "
        "$$ BEGIN IF current_database() LIKE '%\\_restored' OR current_database() LIKE '%\\_trial' "
        "THEN RAISE 'not here'; END IF; RETURN true; END $$;"
        "ALTER TABLE notes ADD CONSTRAINT held CHECK (public.picky(body))"
    )
    backup = shop.back_up()
    for job in (shop.verify(backup), shop.restore(backup)):
        assert job.status == "failed"
        assert "a statement of the dump failed (P0001: not here)" in job.error["detail"]
    assert shop.databases() == {""}
    assert shop.roles() == set(ProjectRoles(shop.id).all)
    assert shop.sql(ROWS) == (100, 5050)


def test_rows_and_rights_that_are_missing_after_a_restore_are_named(shop):
    """Proves that the comparison compares: the manifest says more than the dump holds."""
    shop.sql("CREATE TABLE lost (id int)")
    backup = shop.back_up()
    keys = {backup.key_id: (shop.infra.settings.secrets_folder / "BACKUP_ENCRYPTION_KEY").read_text()}
    manifest = sets.read_manifest(shop.folder, backup.stem, keys)
    key = keys[backup.key_id]
    details = sets.read_details(manifest, key)
    details["contents"]["rows"]["public.notes"] = 101
    details["contents"]["objects"]["policy public.notes.gone"] = "0" * 32
    changed = {**vars(manifest), "details": sets.seal_details(key, details)}
    sets.write_manifest(shop.folder, sets.Manifest(**changed), key)
    detail = shop.verify(backup).error["detail"]
    assert "table public.notes: 100 rows instead of 101" in detail
    assert "policy public.notes.gone: it is missing" in detail


def test_a_backup_that_fails_is_not_listed_and_leaves_no_file(shop, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    job = shop.do(BackupProject(shop.id))
    assert job.status == "failed"
    assert "gpg is not installed" in job.error["detail"]
    assert (shop.listed(), shop.folder_of_files()) == ([], [])


def test_a_deleted_project_leaves_a_last_backup_with_all_that_was_written(shop):
    shop.sql("INSERT INTO notes VALUES (1000, 'the last word')")
    assert shop.life.delete().status == "succeeded"
    final = shop.listed()[0]
    assert (final.final, final.project_name, final.expires_at is not None) == (True, shop.id, True)
    assert (shop.databases(), shop.roles()) == (set(), set())
    with shop.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'restoring' WHERE id = %s", (shop.id,))
    assert shop.restore(final).status == "succeeded"
    assert shop.sql(ROWS)[0] == 101


def test_a_purge_leaves_nothing_that_could_bring_a_project_back(shop):
    shop.restore(shop.back_up())
    assert shop.do(DeleteProject(shop.id, purge=True)).status == "succeeded"
    assert (shop.listed(), shop.folder_of_files(), shop.databases(), shop.roles()) == ([], [], set(), set())


def stored_file(shop):
    """Store a file of the project's: where its bytes are."""
    place = LocalFolder(shop.infra.settings.files_folder, shop.id)
    writer = place.begin()
    writer.write(b"a picture")
    writer.commit(blob_name(str(uuid.uuid4()), str(uuid.uuid4())))
    return shop.infra.settings.files_folder / shop.id


def test_files_go_with_a_purge(shop):
    folder = stored_file(shop)
    assert shop.do(DeleteProject(shop.id, purge=True)).status == "succeeded"
    assert not folder.exists()


def test_files_of_a_deleted_project_go_with_it_since_its_last_backup_holds_them(shop):
    folder = stored_file(shop)
    assert shop.do(DeleteProject(shop.id)).status == "succeeded"
    assert not folder.exists()


def test_files_stay_until_no_backup_of_before_backups_held_files_can_bring_their_project_back(shop):
    folder = stored_file(shop)
    as_before_files(shop, shop.back_up())
    assert shop.do(DeleteProject(shop.id)).status == "succeeded"
    shop.do(RetainBackups())
    assert folder.exists(), "a backup is there that holds none"
    with shop.infra.database.autocommit() as tx:
        tx.execute("DELETE FROM backups WHERE scope = %s", (shop.id,))
    strange = folder.with_name(new_project_id())
    strange.mkdir()
    shop.do(RetainBackups())
    assert not folder.exists()
    assert strange.exists(), "of a project that the catalogue does not know, nothing is removed"


def as_before_files(shop, backup) -> None:
    """Make a set what a version before would have made of it."""
    known = keys.backup_keys(shop.infra.settings.secrets_folder)
    manifest = sets.read_manifest(shop.folder, backup.stem, known)
    made = replace(manifest, objects=None, object_bytes=None, added_bytes=None)
    sets.write_manifest(shop.folder, made, known[manifest.key_id])


def moved(shop):
    """Leave an export, and the file of an import that failed: (the export's file, the import's)."""
    settings = shop.infra.settings
    with shop.infra.database.transaction() as tx:
        kept = [job_secrets.store(tx, shop.infra.vault, "a passphrase of the tests") for _ in range(2)]
    settings.imports_folder.mkdir(mode=0o700, exist_ok=True)
    upload = settings.imports_folder / "upload.gpg"
    upload.write_bytes(b"rows of the project")
    export = shop.do(ExportProject(shop.id, kept[0]))
    assert shop.do(ImportProject(shop.id, upload.name, "sql.gz", kept[1])).status == "failed"
    return path_of(settings.exports_folder, shop.id, export.id), upload


def test_a_purge_leaves_no_export_and_no_upload_either(shop):
    files = moved(shop)
    assert [file.exists() for file in files] == [True, True]
    files[0].with_name(f".{files[0].name}").write_bytes(b"begun by an export that a dead worker wrote")
    assert shop.do(DeleteProject(shop.id, purge=True)).status == "succeeded"
    home = shop.infra.settings.home
    assert [path for path in home.rglob("*") if shop.id in path.name] == []
    assert [*shop.infra.settings.exports_folder.iterdir(), *shop.infra.settings.imports_folder.iterdir()] == []
    with shop.infra.database.autocommit() as tx:
        assert tx.value("SELECT count(*) FROM secrets WHERE name LIKE 'job %%' OR scope = %s", (shop.id,)) == 0


def test_a_deletion_takes_exports_that_nobody_can_fetch_any_more_and_leaves_uploads(shop):
    files = moved(shop)
    assert shop.do(DeleteProject(shop.id)).status == "succeeded"
    assert [file.exists() for file in files] == [False, True]
    assert shop.listed() != [], "its last backup brings it back"


def age(shop, **days):
    with shop.infra.database.autocommit() as tx:
        for backup_id, number in days.items():
            tx.execute(
                "UPDATE backups SET created_at = now() - %s * interval '1 day' WHERE id = %s", (number, backup_id)
            )


def test_retention_never_takes_what_was_proven_last(shop):
    made = [shop.back_up() for _ in range(5)]
    age(shop, **{backup.id: 100 - place for place, backup in enumerate(made)})
    shop.do(RetainBackups())
    assert len(shop.listed()) == 5, "nothing was proven yet"
    shop.verify(made[1])
    shop.do(RetainBackups())
    assert [backup.id for backup in shop.listed()] == [backup.id for backup in reversed(made[1:])]
    shop.verify(made[2])
    shop.verify(made[3])
    shop.do(RetainBackups())
    assert [backup.id for backup in shop.listed()] == [made[4].id, made[3].id, made[2].id], "two proven ones stay"
    assert sorted({name.partition(".")[0] for name in shop.folder_of_files()}) == [b.stem for b in made[2:]]


def test_backups_of_a_deleted_project_go_when_it_cannot_come_back_any_more(shop):
    shop.verify(shop.back_up())
    shop.life.delete()
    shop.do(RetainBackups())
    assert len(shop.listed()) == 2
    with shop.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET deleted_at = now() - interval '8 days' WHERE id = %s", (shop.id,))
    shop.do(RetainBackups())
    assert (shop.listed(), shop.folder_of_files()) == ([], [])


def test_a_backup_of_an_older_version_comes_back_and_is_brought_on(shop, tmp_path):
    backup = shop.back_up()
    with opened(shop.infra.settings, write_folder(tmp_path / "next")) as newer:
        engine = Engine(newer)
        try:
            job = engine.enqueue(RestoreProject(shop.id, backup.id))
            engine.runner.drain()
            done = engine.job(job.id)
            assert (done.status, done.error) == ("succeeded", None)
            assert engine.job(done.result["migrateJobId"]).status == "succeeded"
        finally:
            engine.close()
    assert shop.sql("SELECT max(version) FROM launchdb.schema_migrations") == (NEXT,)
    assert shop.sql("SELECT to_regclass('auth.factors')::text") == ("auth.factors",)
    assert shop.sql(ROWS) == (100, 5050)
    # What is newer than this program is not touched by it.
    newest = shop.back_up()
    detail = shop.restore(newest).error["detail"]
    assert f"was made by a newer version ({NEXT};" in detail


PLANTED = """
CREATE FUNCTION planted(text) RETURNS boolean LANGUAGE plpgsql AS $planted$
DECLARE
    statement text;
BEGIN
    IF current_setting('is_superuser') = 'on' OR (
        SELECT rolbypassrls OR rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RAISE 'mighty';
    END IF;
    FOREACH statement IN ARRAY ARRAY[
        $$COPY (SELECT 1) TO PROGRAM 'touch FOLDER/planted'$$, 'CREATE ROLE planted SUPERUSER',
        format('ALTER DATABASE %I CONNECTION LIMIT 1', current_database())] LOOP
        BEGIN
            EXECUTE statement;
            RAISE 'it was done: %', statement;
        EXCEPTION WHEN insufficient_privilege THEN
            CONTINUE;
        END;
    END LOOP;
    RETURN true;
END $planted$;
ALTER TABLE notes ADD CONSTRAINT planted CHECK (public.planted(body));
"""


def test_what_a_tenant_has_planted_runs_with_no_more_rights_than_his(shop, tmp_path):
    """Every row that is restored calls it: it must neither be mighty nor reach a program, a role or a limit."""
    shop.sql(PLANTED.replace("FOLDER", str(tmp_path)))
    backup = shop.back_up()
    for job in (shop.verify(backup), shop.restore(backup)):
        assert (job.status, job.error) == ("succeeded", None)
    assert not (tmp_path / "planted").exists()
    assert shop.sql(ROWS) == (100, 5050)


def in_background(shop, statement, ended):
    def run():
        try:
            shop.sql(statement)
        except psycopg.Error as error:
            ended.append(type(error).__name__)
        else:
            ended.append("done")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


@pytest.mark.timing
def test_what_is_under_way_at_the_swap_comes_to_its_end_unless_it_takes_too_long(shop, monkeypatch):
    backup = shop.back_up()
    swap, ended = ProjectStaging.swap, []

    def with_clients(self, *names):
        if took:  # a second look, by another attempt
            swap(self, *names)
            return
        threads = [
            in_background(shop, "INSERT INTO notes SELECT 101, 'x' FROM pg_sleep(1)", ended),
            in_background(shop, "SELECT pg_sleep(60)", ended),
        ]
        time.sleep(0.3)
        began = time.monotonic()
        swap(self, *names)
        took.append(time.monotonic() - began)
        for thread in threads:
            thread.join(10)

    took = []
    monkeypatch.setattr(ProjectStaging, "swap", with_clients)
    job = shop.restore(backup)
    assert (job.status, job.error) == ("succeeded", None)
    assert sorted(ended) == ["AdminShutdown", "done"]
    assert took[0] < 4
    assert shop.sql("SELECT count(*) FROM notes") == (100,)

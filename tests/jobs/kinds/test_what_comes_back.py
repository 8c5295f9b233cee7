"""What was backed up comes back: schemas that Postgres itself can dump and restore, one kind of trouble each."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import psycopg
import pytest

from catalog import backups
from infra.backup import keys as backup_keys
from infra.backup import sets
from infra.backup.dumps import PostgresPrograms
from infra.pipeline import run
from infra.postgres.role_names import ProjectRoles
from jobs.kinds.backup.restore import RestoreProject
from jobs.requests import lifecycle
from tests.fixtures.projects import add_project, drop, new_tenant, stored_tenant
from tests.fixtures.world import changes, world
from tests.jobs.kinds.test_backups import Shop

pytestmark = pytest.mark.gpg


@pytest.fixture
def shop(life):
    made = Shop(life)
    yield made
    made.leave()


# What the server prints otherwise once it has parsed its own text.
WRITTEN_OTHERWISE = """
CREATE TABLE o (id int PRIMARY KEY, status varchar(255) CHECK (status IN ('NEW', 'PAID')), lat float8, lng float8,
    CHECK (lat BETWEEN -90 AND 90 AND lng BETWEEN -180 AND 180), kind varchar(9) DEFAULT 'a');
CREATE INDEX o_open ON o ((status IN ('NEW', 'PAID'))) WHERE status IN ('NEW', 'PAID');
CREATE DOMAIN state AS varchar(20) CHECK (VALUE IN ('on', 'off'));
ALTER TABLE o ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON o TO anon USING (status IN ('NEW', 'PAID')) WITH CHECK (lat BETWEEN -1 AND 1 AND lng BETWEEN 2 AND 3);
CREATE VIEW paid AS SELECT * FROM o WHERE status IN ('PAID', 'SENT') AND lat BETWEEN -1 AND 1 AND lng BETWEEN -2 AND 2;
CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER told BEFORE UPDATE ON o FOR EACH ROW WHEN (NEW.status IN ('NEW', 'PAID')) EXECUTE FUNCTION told();
CREATE RULE r AS ON DELETE TO o WHERE OLD.status IN ('NEW', 'PAID') DO INSTEAD NOTHING;
CREATE FUNCTION d(a boolean DEFAULT 'a'::varchar IN ('a'::varchar, 'b'::varchar)) RETURNS boolean LANGUAGE sql
    RETURN a AND 'x'::varchar IN ('x'::varchar, 'y'::varchar);
INSERT INTO o VALUES (1, 'NEW', 1, 1), (2, 'PAID', -90, 180);
"""


def test_expressions_that_are_written_otherwise_once_they_were_parsed_anew_come_back(shop):
    shop.sql(WRITTEN_OTHERWISE)
    backup = shop.back_up()
    for job in (shop.verify(backup), shop.restore(backup)):
        assert job.status == "succeeded", job.error
        assert "remarks" not in job.result
    assert shop.sql("SELECT count(*) FROM o") == (2,)


def test_an_index_that_was_never_finished_is_left_out_and_named(shop):
    shop.sql("INSERT INTO notes VALUES (1, 'twice'), (1, 'twice')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        shop.sql("CREATE UNIQUE INDEX CONCURRENTLY never ON notes (n)")
    backup = shop.back_up()
    assert shop.engine.job(backup.job_id).result["remarks"] == [
        "index public.never: it was never finished, and is in no dump"
    ]
    for job in (shop.verify(backup), shop.restore(backup)):
        assert job.status == "succeeded", job.error
        assert job.result["remarks"] == ["index public.never: it was never finished, and is in no dump"]


# As a web application does it: a slug by a function that finds its helper by the session's search_path.
SLUGS = """
CREATE FUNCTION plain(v text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT lower(v) $$;
CREATE FUNCTION slugify(v text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN replace(plain(v), ' ', '-'); END $$;
CREATE DOMAIN slug AS text CHECK (slugify(VALUE) = VALUE);
CREATE TABLE posts (title text CHECK (slugify(title) <> ''), slug text GENERATED ALWAYS AS (slugify(title)) STORED, other slug);
INSERT INTO posts (title, other) VALUES ('A Title', 'a-title'), ('Ünïcode Title', NULL);
CREATE SCHEMA app;
SET search_path = app;
CREATE FUNCTION app.inner_one(v text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT v || '!' $$;
CREATE FUNCTION app.outer_one(v text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN inner_one(v); END $$;
CREATE TABLE app.loud (v text, w text GENERATED ALWAYS AS (app.outer_one(v)) STORED);
INSERT INTO app.loud (v) VALUES ('x');
RESET search_path;
"""


def test_what_finds_its_functions_by_the_search_path_comes_back(shop):
    shop.sql(SLUGS)
    backup = shop.back_up()
    for job in (shop.verify(backup), shop.restore(backup)):
        assert job.status == "succeeded", job.error
        assert "lacking" not in job.result
    assert shop.sql("SELECT array_agg(slug ORDER BY slug) FROM posts") == (["a-title", "ünïcode-title"],)
    assert shop.sql("SELECT w FROM app.loud") == ("x!",)


# A view that only a session with a setting could fill, a table whose rows its own CHECK refuses elsewhere, and what hangs on it.
UNFILLABLE = """
SET app.tenant = '7';
CREATE MATERIALIZED VIEW mine AS SELECT n FROM notes WHERE n = current_setting('app.tenant')::int;
CREATE INDEX mine_n ON mine (n);
CREATE FUNCTION here() RETURNS boolean LANGUAGE sql AS $$ SELECT current_database() NOT LIKE '%\\_restored' AND current_database() NOT LIKE '%\\_trial' $$;
CREATE TABLE picky (id int PRIMARY KEY, CHECK (here()));
CREATE TABLE hangs (id int REFERENCES picky);
INSERT INTO picky VALUES (1), (2);
INSERT INTO hangs VALUES (1);
CREATE TABLE fine AS SELECT 1 AS n;
"""
LACKING = ("REFRESH MATERIALIZED VIEW public.mine", "COPY public.picky", "table public.picky: 0 rows instead of 2", "filling of public.mine: it is missing",
           "constraint public.hangs.hangs_id_fkey: it is missing")  # fmt: skip


def test_what_cannot_be_filled_is_named_and_keeps_nothing_away_from_whoever_agrees(shop):
    shop.sql(UNFILLABLE)
    backup = shop.back_up()
    for job in (shop.verify(backup), shop.restore(backup)):
        assert job.status == "failed"
        assert "it does not come back whole" in job.error["detail"]
        assert "--partial" in job.error["detail"]
        assert [said for said in LACKING if said not in job.error["detail"]] == []
    assert "does not come back whole" in shop.listed()[0].verify_error
    assert (shop.listed()[0].verified_at, shop.databases()) == (None, {""})
    shop.sql("DROP TABLE fine; DELETE FROM notes")
    done = shop.do(RestoreProject(shop.id, backup.id, partial=True))
    assert (done.status, done.error) == ("succeeded", None)
    assert [said for said in LACKING if not any(said in line for line in done.result["lacking"])] == []
    assert shop.sql(
        "SELECT (SELECT count(*) FROM fine), (SELECT count(*) FROM notes), (SELECT count(*) FROM picky)"
    ) == (1, 100, 0)
    assert shop.sql("SELECT count(*) FROM hangs") == (1,), "only what hangs on it is away, not the rows"


def test_a_failed_restore_of_a_project_that_is_away_can_be_asked_for_again_partially(shop):
    shop.sql(UNFILLABLE)
    shop.life.delete()
    with shop.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'restoring' WHERE id = %s", (shop.id,))
    final = shop.listed()[0]
    assert shop.restore(final).status == "failed"
    assert shop.life.row()["status"] == "failed"
    with shop.infra.database.transaction() as tx:
        job = lifecycle.restore(tx, shop.id, final.id, partial=True)
    shop.engine.runner.drain()
    assert (shop.engine.job(job.id).status, shop.life.row()["status"]) == ("succeeded", "active")
    assert shop.sql("SELECT count(*) FROM notes") == (100,)


def test_sequences_that_cycle_or_are_set_back_during_a_backup_are_no_difference(shop):
    shop.sql("CREATE SEQUENCE wheel MAXVALUE 3 CYCLE; CREATE SEQUENCE back; SELECT setval('back', 1000)")
    shop.sql("CREATE TABLE ballast AS SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, 20000) n")
    over = threading.Event()

    def use() -> None:
        tenant = stored_tenant(shop.infra, shop.id)
        with tenant.connect(tenant.roles.owner) as owner:
            while not over.is_set():
                owner.execute("SELECT nextval('wheel')")
                owner.execute("SELECT setval('back', 1 + (random() * 5000)::int)")

    client = threading.Thread(target=use)
    client.start()
    try:
        taken = [shop.back_up() for _ in range(4)]
    finally:
        over.set()
        client.join()
    for backup in taken:
        assert (shop.verify(backup).status, shop.listed()[0].verify_error) == ("succeeded", None)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER SCHEMA public RENAME TO legacy",
        "DROP SCHEMA public CASCADE; CREATE SCHEMA own; CREATE TABLE own.notes AS SELECT 1 AS n",
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE notes AS SELECT 1 AS n",
        "DROP SCHEMA storage CASCADE",
        "DROP SCHEMA auth CASCADE; DROP SCHEMA extensions CASCADE",
    ],
)
def test_a_project_whose_first_schemas_were_renamed_or_dropped_comes_back(shop, change):
    shop.sql(change)
    backup = shop.back_up()
    before = world(shop.life.tenant())
    for job in (shop.verify(backup), shop.restore(backup)):
        assert job.status == "succeeded", job.error
        anew = [name for name in ("storage", "auth", "extensions") if f"SCHEMA {name} " in change]
        assert job.result.get("remarks", []) == [
            f"schema {name}: it was gone; it is there as in a new project" for name in sorted(anew)
        ]
    found = [
        line
        for line in changes(before, world(shop.life.tenant()))
        if not any(f" {name}" in line.split(":")[0] for name in anew)
    ]
    assert found == []


def test_a_role_of_a_project_that_is_gone_is_left_out_with_a_remark(shop):
    other = new_tenant(shop.infra)
    try:
        shop.sql(
            f"CREATE TABLE shared (n int); ALTER TABLE shared ENABLE ROW LEVEL SECURITY;"
            f"CREATE POLICY theirs ON shared TO {other.roles.anon};"
            f"CREATE POLICY mixed ON shared TO {other.roles.anon}, {shop.id}_anon USING (n > 1);"
            f"GRANT SELECT ON shared TO {other.roles.service}; GRANT SELECT (n) ON notes TO {other.roles.owner};"
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {other.roles.auth}"
        )
        backup = shop.back_up()
    finally:
        drop(shop.infra, other.id)
    gone = [
        f"role {role}: it is not there any more"
        for role in (other.roles.anon, other.roles.service, other.roles.owner, other.roles.auth)
    ]
    for job in (shop.verify(backup), shop.restore(backup)):
        assert job.status == "succeeded", job.error
        assert sorted(line.partition(";")[0] for line in job.result["remarks"]) == sorted(gone)
    policies = "SELECT array_agg(polname::text || array_length(polroles, 1)) FROM pg_policy WHERE polrelid = 'shared'::regclass"
    assert shop.sql(policies) == (["mixed1"],), "as if the other project had gone while this one was there"
    assert shop.roles() == set(ProjectRoles(shop.id).all)
    assert shop.sql(
        "SELECT count(*) FROM pg_default_acl WHERE defaclacl::text LIKE %s".replace("%s", f"'%{other.id}%'")
    ) == (0,)


# Every place in which a text may hold a project's id or the name of one of its roles, also as a statement that a dump has.
NAMED_BY_THE_WAY = r"""
CREATE FUNCTION whoami() RETURNS text LANGUAGE sql AS $$ SELECT '{id}_owner and {id}'::text $$;
CREATE FUNCTION grants() RETURNS void LANGUAGE plpgsql AS $b$ BEGIN
GRANT SELECT ON kept TO {id}_anon;
ALTER TABLE kept OWNER TO {id}_owner;
END $b$ SET application_name = '{id}';
CREATE PROCEDURE steps() LANGUAGE sql BEGIN ATOMIC SELECT 'x OWNER TO {id}_owner'::text; END;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
-- GRANT ALL ON kept TO {id}_owner
RETURN NEW; END';
CREATE TYPE states AS ENUM ('{id}', '{id}_owner');
CREATE DOMAIN named AS text DEFAULT '{id}_auth' CHECK (VALUE <> '{id}_anon');
CREATE TABLE kept (v text DEFAULT '{id}_owner and {id}' CHECK (v <> '{id}_anon'), w text DEFAULT 'x OWNER TO {id}_owner',
    "of {id}" text GENERATED ALWAYS AS (v || '{id}') STORED, s states DEFAULT '{id}', n named);
CREATE TABLE "{id}_anon" ("{id}_owner" text);
CREATE INDEX of_it ON kept ((v || '{id}')) WHERE v = '{id}_service';
CREATE VIEW seen AS SELECT '{id}_owner'::text AS who FROM kept WHERE v = '{id}';
CREATE TRIGGER noted BEFORE UPDATE ON kept FOR EACH ROW WHEN (NEW.v = '{id}_anon') EXECUTE FUNCTION noted('{id}');
CREATE RULE kept_rule AS ON DELETE TO kept WHERE OLD.v = '{id}' DO INSTEAD NOTHING;
COMMENT ON TABLE kept IS 'GRANT ALL TO {id}_owner';
COMMENT ON COLUMN kept.v IS E'one\nALTER TABLE public.kept OWNER TO {id}_owner;\n';
CREATE POLICY "TO {id}_anon" ON notes TO {id}_authenticated USING (current_user = '{id}_authenticated TO {id}_anon')
    WITH CHECK (body <> '{id} TO {id}_owner');
INSERT INTO kept (n) VALUES ('{id}');
INSERT INTO kept VALUES ('GRANT SELECT ON kept TO {id}_anon', E'\nALTER TABLE kept OWNER TO {id}_owner;\n\\.\n');
INSERT INTO "{id}_anon" VALUES ('{id}');
"""


def told_by_pg_dump(infra, project):
    """Return what plain tools print of a project's database, owners and rights apart."""
    owner = stored_tenant(infra, project)
    program = PostgresPrograms.of(infra.settings).folder / "pg_dump"
    options = ["--no-owner", "--no-privileges", "--no-password", "--schema=public", "--restrict-key=same"]
    text = run([program, *options, f"--dbname={owner.uri(owner.roles.owner)}"], timeout_seconds=60)
    return [line for line in text.splitlines() if not line.startswith("--")]


def test_nothing_that_names_the_project_by_the_way_is_rewritten_in_a_new_one(shop):
    """Roles are renamed where a statement names them, and nowhere else: not in bodies, defaults, comments, rows."""
    shop.sql(NAMED_BY_THE_WAY.replace("{id}", shop.id))
    backup = shop.back_up()
    other = add_project(shop.infra, status="restoring")
    try:
        job = shop.restore(backup, other)
        assert job.status == "succeeded", job.error
        before, after = told_by_pg_dump(shop.infra, shop.id), told_by_pg_dump(shop.infra, other)
        asked = f"ON public.notes TO {shop.id}_authenticated "
        assert sum(line.count(asked) for line in before) == 1
        assert after == [line.replace(asked, asked.replace(shop.id, other)) for line in before]
        assert sum(line.count(shop.id) for line in after) > 30
        assert shop.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'kept'", other) == (f"{other}_owner",)
    finally:
        drop(shop.infra, other)


BEFORE = Path(__file__).parent / "sets_of_before"


@pytest.mark.parametrize("same", [True, False], ids=["as itself", "as another"])
def test_a_set_that_was_made_before_expressions_stood_apart_comes_back(same, infra, engine, master_key):
    """It says one digest of each object, and its expressions are written otherwise by now."""
    settings = infra.settings
    (settings.secrets_folder / "BACKUP_ENCRYPTION_KEY").write_text((BEFORE / "key").read_text())
    settings.backups_folder.mkdir(parents=True, exist_ok=True)
    for path in BEFORE.glob("proj_*"):
        shutil.copy(path, settings.backups_folder / path.name)
    keys = backup_keys.backup_keys(settings.secrets_folder)
    manifest = sets.read_manifest(settings.backups_folder, next(iter(sets.stems(settings.backups_folder))), keys)
    assert "texts" not in sets.read_details(manifest, keys[manifest.key_id])["contents"]
    project = add_project(infra, status="restoring")
    with infra.database.autocommit() as tx:
        backups.adopt(tx, manifest)
        if same:
            tx.execute("UPDATE projects SET id = %s WHERE id = %s", (manifest.scope, project))
            project = manifest.scope
    try:
        job = engine.enqueue(RestoreProject(project, manifest.id))
        engine.runner.drain()
        done = engine.job(job.id)
        assert (done.status, done.error) == ("succeeded", None)
        assert all("it is written otherwise" in line for line in done.result["remarks"])
        tenant = stored_tenant(infra, project)
        with tenant.connect(tenant.roles.owner) as owner:
            assert owner.execute("SELECT count(*), min(lat) FROM o").fetchone() == (2, -90)
            assert manifest.scope in owner.execute("SELECT whoami()").fetchone()[0]
        with tenant.as_admin() as admin:
            assert admin.execute("SELECT count(*) FROM public.rows").fetchone() == (5000,)
    finally:
        drop(infra, project)


def test_a_right_that_an_owner_has_taken_away_stays_taken(shop):
    """What a new project grants is in the copy that a backup is restored into; only what the backup says may be left."""
    shop.sql("REVOKE USAGE ON SCHEMA public FROM PUBLIC, anon")
    backup = shop.back_up()
    job = shop.restore(backup)
    assert job.status == "succeeded", f"What an owner has taken from a role stays taken after a restore: {job.error}"
    kept = shop.sql("SELECT has_schema_privilege('anon', 'public', 'USAGE')")
    assert kept == (False,), "What an owner has taken from a role stays taken after a restore"

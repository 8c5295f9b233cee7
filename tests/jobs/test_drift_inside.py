"""What is changed by hand inside a project's database is found by one look, and healed or named; nothing is dropped."""

from __future__ import annotations

import psycopg
import pytest

from jobs.loops.sweeper import Sweeper
from jobs.projects import schema_drift
from jobs.requests import doctor
from tests.jobs.conftest import wait_until
from tests.jobs.kinds.conftest import Life


@pytest.fixture
def life(engine, infra, project):
    """An active project."""
    made = Life(engine, infra, project)
    made.provision()
    return made


@pytest.fixture
def sweeper(infra):
    return Sweeper(infra)


def as_admin(*statements):
    def tamper(life):
        with psycopg.connect(life.infra.database.conninfo, dbname=life.id, autocommit=True) as admin:
            for statement in statements:
                admin.execute(statement.replace("<id>", life.id))

    return tamper


def as_owner(*statements):
    def tamper(life):
        with life.tenant().connect(life.tenant().roles.owner) as owner:
            for statement in statements:
                owner.execute(statement.replace("<id>", life.id))

    return tamper


HEALED = {
    "a missing function": (as_owner("DROP FUNCTION auth.email()"), "function auth.email(): it is missing"),
    "a changed function": (
        as_owner("CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql AS $$ SELECT gen_random_uuid() $$"),
        "function auth.uid(): it was changed",
    ),
    "a function with another path": (as_admin("ALTER FUNCTION auth.role() SET search_path = public"), "it was changed"),
    "a function's grant": (as_admin("REVOKE EXECUTE ON FUNCTION auth.uid() FROM anon"), "is missing (EXECUTE to anon)"),
    "a function's owner": (as_admin('ALTER FUNCTION auth.jwt() OWNER TO "<id>_owner"'), "it has another owner"),
    "row security off": (as_owner("ALTER TABLE storage.objects DISABLE ROW LEVEL SECURITY"), "table storage.objects: it was changed"),
    "a table's grant": (as_admin("REVOKE SELECT ON storage.buckets FROM authenticated"), "(SELECT to authenticated)"),
    "a table's owner": (as_admin('ALTER TABLE auth.users OWNER TO "<id>_owner"'), "table auth.users: it has another owner"),
    "a schema's owner": (as_admin("ALTER SCHEMA auth OWNER TO postgres"), "schema auth: it has another owner"),
    "a schema's grant": (as_admin("REVOKE USAGE ON SCHEMA storage FROM anon"), "(USAGE to anon)"),
    "the owner of public": (as_admin("ALTER SCHEMA public OWNER TO postgres"), "schema public: it has another owner"),
    "a missing event trigger": (as_admin("DROP EVENT TRIGGER launchdb_schema_dropped"), "it is missing"),
    "a sleeping event trigger": (as_admin("ALTER EVENT TRIGGER launchdb_schema_changed DISABLE"), "launchdb_schema_changed: it was changed"),
    "the stamp's function": (as_admin("DROP FUNCTION launchdb.schema_changed() CASCADE"), "function launchdb.schema_changed()"),
    "a writable stamp": (as_admin("GRANT UPDATE ON launchdb.schema_version TO anon"), "more was granted (UPDATE to anon)"),
}  # fmt: skip

NAMED = {
    "a default privilege": (
        as_owner("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM anon"),
        "default privileges of tables in public: what was granted is missing",
    ),
    "no default privileges at all": (
        as_owner("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON FUNCTIONS FROM anon, authenticated, service_role"),
        "default privileges of functions in public",
    ),
    "a missing table": (as_owner("DROP TABLE auth.one_time_tokens"), "table auth.one_time_tokens: it is missing"),
    "a missing column": (as_owner("ALTER TABLE auth.users DROP COLUMN banned_until"), "column auth.users.banned_until: it is missing"),
    "a changed column": (as_owner("ALTER TABLE storage.buckets ALTER public DROP NOT NULL"), "column storage.buckets.public"),
    "a missing constraint": (
        as_owner("ALTER TABLE storage.objects DROP CONSTRAINT objects_bucket_id_fkey"), "objects_bucket_id_fkey: it is missing",
    ),
    "a missing index": (as_owner("DROP INDEX auth.users_email_key"), "index auth.users_email_key: it is missing"),
    "passwords for everybody": (as_owner("GRANT SELECT ON auth.users TO anon"), "more was granted (SELECT to anon)"),
    "public closed to visitors": (as_owner("REVOKE USAGE ON SCHEMA public FROM anon"), "schema public"),
    "a missing schema": (as_owner("DROP SCHEMA extensions"), "schema extensions: it is missing"),
}  # fmt: skip


def last_job(life):
    with life.infra.database.autocommit() as tx:
        job = tx.value("SELECT id FROM jobs WHERE kind = 'project.reconcile' ORDER BY seq DESC LIMIT 1")
    return life.engine.job(job)


def objects(life):
    wanted = schema_drift.wanted_schema(life.infra, life.infra.databases.templates.name, "test")
    return life.infra.databases.objects.differences(life.tenant().roles, wanted, "test")


@pytest.mark.parametrize("tampering", HEALED)
def test_what_can_be_put_back_is(tampering, life, sweeper):
    assert objects(life) == []
    tamper, word = HEALED[tampering]
    tamper(life)
    assert sweeper.run_once() == 1
    life.engine.runner.drain()
    job = last_job(life)
    assert (job.status, job.error) == ("succeeded", None)
    assert any(word in fault for fault in job.result["healed"]), job.result
    assert (objects(life), life.row()["drift"], life.row()["status_reason"]) == ([], [], None)
    assert sweeper.run_once() == 0


@pytest.mark.parametrize("tampering", NAMED)
def test_what_cannot_is_named_until_it_is_right_again(tampering, life, sweeper):
    tamper, word = NAMED[tampering]
    tamper(life)
    assert sweeper.run_once() == 1
    life.engine.runner.drain()
    assert last_job(life).status == "succeeded"
    drift = life.row()["drift"]
    assert any(word in fault for fault in drift), drift
    assert life.row()["status_reason"] == "not as it should be: " + "; ".join(drift)
    assert sweeper.run_once() == 0, "what is named already is no reason for another job"
    assert Sweeper(life.infra).run_once() == 0


def test_a_whole_schema_that_is_gone_is_one_word_and_the_rest_is_bounded(life, sweeper):
    as_owner("DROP TABLE auth.sessions CASCADE")(life)
    as_admin("DROP SCHEMA storage CASCADE")(life)
    sweeper.run_once()
    life.engine.runner.drain()
    drift = life.row()["drift"]
    assert "schema storage: it is missing" in drift
    assert "table auth.sessions: it is missing" in drift
    assert not any(fault.startswith(("table storage.", "column")) for fault in drift), drift
    as_admin("DROP SCHEMA auth CASCADE; CREATE SCHEMA auth")(life)
    wait_until(lambda: sweeper.run_once() == 1)
    life.engine.runner.drain()
    assert 2 < len(life.row()["drift"]) <= 21


def test_a_complaint_that_another_job_has_taken_back_is_made_again(life, sweeper):
    NAMED["passwords for everybody"][0](life)
    sweeper.run_once()
    life.engine.runner.drain()
    reason = life.row()["status_reason"]
    with life.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status_reason = NULL WHERE id = %s", (life.id,))
    assert sweeper.run_once() == 1
    life.engine.runner.drain()
    assert life.row()["status_reason"] == reason


def test_a_named_fault_is_taken_back_once_it_is_gone(life, sweeper):
    NAMED["passwords for everybody"][0](life)
    sweeper.run_once()
    life.engine.runner.drain()
    assert life.row()["drift"] != []
    as_owner("REVOKE SELECT ON auth.users FROM anon")(life)
    wait_until(lambda: sweeper.run_once() == 1)
    life.engine.runner.drain()
    assert (life.row()["drift"], life.row()["status_reason"]) == ([], None)


def test_what_a_tenant_adds_is_its_own(life, sweeper):
    as_owner(
        "CREATE TABLE notes (id int)",
        "CREATE POLICY mine ON storage.objects FOR SELECT TO anon USING (bucket_id = 'open')",
        "CREATE FUNCTION hello() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        "CREATE TRIGGER greet AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION hello()",
        "ALTER TABLE auth.users ADD COLUMN shoe_size int",
        "CREATE INDEX ON auth.users (shoe_size)",
        "CREATE FUNCTION auth.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE EXTENSION pgcrypto SCHEMA extensions",
        "ALTER TABLE auth.sessions ENABLE ROW LEVEL SECURITY",
    )(life)
    assert sweeper.run_once() == 0


def test_a_hostile_tenant_runs_nothing_with_our_rights(life, sweeper):
    as_owner(
        "CREATE SCHEMA trap",
        "CREATE FUNCTION trap.spring(text) RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN EXECUTE 'CREATE TABLE sprung_' || current_user || ' ()'; RETURN $1; END $$",
        "DROP FUNCTION storage.extension(text)",
        "CREATE FUNCTION storage.extension(name text, other text DEFAULT trap.spring('x')) RETURNS text LANGUAGE sql AS"
        " $$ SELECT trap.spring(name) $$",
        "CREATE OR REPLACE FUNCTION storage.filename(name text) RETURNS text LANGUAGE sql AS $$ SELECT trap.spring(name) $$",
        "ALTER TABLE storage.buckets ALTER COLUMN name SET DEFAULT trap.spring('y')",
        "DROP FUNCTION auth.email()",
        "CREATE FUNCTION auth.email() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    )(life)
    assert sweeper.run_once() == 1
    life.engine.runner.drain()
    assert last_job(life).status == "succeeded"
    with life.tenant().as_admin() as admin:
        assert admin.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'sprung%'").fetchone() == (0,)
        assert admin.execute("SELECT count(*) FROM pg_proc WHERE proname = 'spring'").fetchone() == (1,)
    assert any("auth.email()" in fault for fault in life.row()["drift"])
    assert not any("trap" in fault for fault in life.row()["drift"])


def test_a_database_that_nobody_wrote_to_is_not_opened_again(life, sweeper, monkeypatch):
    monkeypatch.setattr(schema_drift, "ANYWAY", 0)
    opened = []
    look = life.infra.databases.objects.inspect
    monkeypatch.setattr(
        life.infra.databases.objects, "inspect", lambda *known: opened.append(known[0].prefix) or look(*known)
    )
    wait_until(lambda: not (opened.clear() or sweeper.run_once() or opened))
    as_owner("CREATE TABLE seen ()")(life)
    wait_until(lambda: sweeper.run_once() or opened)
    assert opened == [life.id]


def test_a_template_that_nobody_knows_any_more_is_no_reason_to_complain(life, infra):
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET template = 'template_0000000000000000'")
    NAMED["a missing table"][0](life)
    assert Sweeper(infra).run_once() == 0


def test_a_guard_that_no_request_passes_as_it_was_meant_is_named_until_its_owner_has_changed_it(life, sweeper):
    def findings():
        with life.infra.database.autocommit() as tx:
            return [(one.status, one.subject, one.evidence) for one in doctor.claims(tx, life.infra.settings)]

    def without_the_guard_of_guards(statement):
        # As a restore, or a version before, has brought it.
        with life.tenant().as_admin() as admin:
            admin.execute("SET event_triggers = off")
            admin.execute(f'SET ROLE "{life.tenant().roles.owner}"')
            admin.execute(statement)

    assert sweeper.run_once() == 0
    assert [status for status, _, _ in findings()] == ["ok"]
    without_the_guard_of_guards(
        "CREATE FUNCTION is_admin() RETURNS boolean LANGUAGE sql AS $$ SELECT session_user <> 'authenticator' $$"
    )
    without_the_guard_of_guards(
        "CREATE VIEW \"two\nlines\" AS SELECT 1 AS one WHERE session_user = 'authenticator'",
    )
    assert sweeper.run_once() == 0, "there is nothing that a job could mend"
    [(status, subject, said)] = findings()
    assert (status, subject) == ("warning", life.id)
    assert "function public.is_admin()" in said
    assert 'view public."two lines"' in said or 'view "two lines"' in said
    assert sweeper.run_once() == 0
    with life.infra.database.autocommit() as tx:
        rows = tx.rows("SELECT outcome, detail FROM audit WHERE action = 'drift.login' AND project_id = %s", (life.id,))
    assert [row["outcome"] for row in rows] == ["named"], "once, as long as it is the same"
    with life.tenant().connect(life.tenant().roles.owner) as owner:
        owner.execute('DROP VIEW "two\nlines"; DROP FUNCTION is_admin')
    assert sweeper.run_once() == 0
    assert [status for status, _, _ in findings()] == ["ok"]

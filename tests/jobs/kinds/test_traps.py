"""A tenant's code in the way of our sessions gains nothing: not from our own files, nor from any step of any kind.

The traps are whatever can run code where somebody else writes: a check, triggers (a deferred one runs when roles that were
set are gone), a default, a generated column, an index, a policy, a rule; an operator and a cast that are found by name. Each
gives back its role, or takes the session's, and then makes itself a superuser.
"""

from __future__ import annotations

import psycopg
import pytest

from catalog import names
from catalog.ids import new_project_id
from infra.errors import InfraError
from infra.postgres import migrations
from infra.postgres.upgrades import TemplateUpgrades
from jobs.kinds import (
    BackupProject,
    ConfigureProject,
    ExtendProject,
    PauseProject,
    ReconcileProject,
    RestartProject,
    ResumeProject,
    RotateSecret,
    VacuumProject,
)
from tests.fixtures.projects import Tenant, drop
from tests.fixtures.successor import NEXT, opened, write_folder

FILES = [file.version for file in migrations.read_migrations("project")]
# The first ones make schema public the owner's: before, there is no project, and nowhere to lay a trap.
OF_EVERY_PROJECT = 3
SPRING = """
CREATE TABLE public.caught (who name, login name, mighty boolean);
GRANT ALL ON public.caught TO PUBLIC;
CREATE FUNCTION public.spring() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_role text := current_setting('role');
    v_act  text;
BEGIN
    FOREACH v_act IN ARRAY ARRAY['RESET ROLE', 'SET SESSION AUTHORIZATION DEFAULT', 'RESET SESSION AUTHORIZATION',
                                 'SET ROLE postgres', 'SET ROLE launchdb_platform', 'SET ROLE launchdb_stamp'] LOOP
        BEGIN
            EXECUTE v_act;
            INSERT INTO public.caught SELECT current_user, session_user, bool_or(rolsuper OR rolcreaterole)
              FROM pg_catalog.pg_roles WHERE rolname IN (current_user, session_user);
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
        BEGIN
            EXECUTE 'CREATE ROLE planted SUPERUSER';
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
        BEGIN
            EXECUTE pg_catalog.format('ALTER ROLE %I SUPERUSER', session_user);
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
        BEGIN
            EXECUTE pg_catalog.format('GRANT launchdb_stamp, pg_write_server_files TO %I', session_user);
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
    BEGIN
        PERFORM pg_catalog.set_config('role', v_role, true);
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    RETURN true;
END $$;
CREATE FUNCTION public.spring_text(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN PERFORM public.spring(); RETURN t; END $$;
CREATE FUNCTION public.spring_trigger() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.spring(); RETURN NEW; END $$;
CREATE FUNCTION public.spring_compare(a text, b text) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN RETURN public.spring(); END $$;
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.spring_compare);
CREATE TYPE public.odd AS (n text);
CREATE FUNCTION public.odd_of(text) RETURNS public.odd LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.spring(); RETURN NULL; END $$;
CREATE CAST (text AS public.odd) WITH FUNCTION public.odd_of(text) AS IMPLICIT;
"""
ON_TABLE = """
ALTER TABLE {table} ADD CONSTRAINT {name}_check CHECK (public.spring());
ALTER TABLE {table} ADD COLUMN {name}_made text GENERATED ALWAYS AS (public.spring_text({text})) STORED;
ALTER TABLE {table} ADD COLUMN {name}_default boolean DEFAULT public.spring();
CREATE INDEX {name}_index ON {table} (public.spring_text({text}));
CREATE TRIGGER {name}_before BEFORE INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION public.spring_trigger();
CREATE CONSTRAINT TRIGGER {name}_deferred AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION public.spring_trigger();
CREATE POLICY {name}_policy ON {table} USING (public.spring());
CREATE RULE {name}_rule AS ON UPDATE TO {table} DO ALSO SELECT public.spring();
"""
TABLES = {"auth.users": "aud", "storage.buckets": "name"}
# What a template's file may do to rows that are there: the row of the findings, and its kind.
WRITES = """
SET LOCAL ROLE launchdb_tpl_auth;
ALTER TABLE auth.users ADD COLUMN stamp timestamptz DEFAULT clock_timestamp();
UPDATE auth.users SET email = 'a@example.org';
INSERT INTO auth.users (email) VALUES ('x@example.org');
RESET ROLE;
SET LOCAL ROLE launchdb_tpl_storage;
ALTER TABLE storage.buckets ADD COLUMN stamp timestamptz DEFAULT clock_timestamp();
UPDATE storage.buckets SET public = true;
RESET ROLE;
"""
ROLES = """
SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles
 WHERE rolname !~ '^proj_' OR rolname LIKE %(own)s
"""
MEMBERS = """
SELECT roleid::regrole::text, member::regrole::text, admin_option, inherit_option, set_option FROM pg_auth_members
 WHERE member::regrole::text LIKE %(own)s
"""


def plant(tenant: Tenant) -> None:
    """Lay the traps wherever the owner may, with a row on each table."""
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("SET check_function_bodies = off")
        owner.execute(SPRING)
        for table, text in TABLES.items():
            name = table.replace(".", "_")
            rows = {"auth.users": "(aud) VALUES ('a')", "storage.buckets": "(id, name) VALUES ('b', 'b')"}
            owner.execute(f"INSERT INTO {table} {rows[table]}")
            for statement in ON_TABLE.format(table=table, name=name, text=text).split(";\n"):
                if statement.strip():
                    owner.execute(statement)
        owner.execute("TRUNCATE public.caught")


def might(tenant: Tenant) -> set[tuple]:
    """What the server's roles may, but for those of other projects."""
    with tenant.as_admin("postgres") as admin:
        return {row for query in (ROLES, MEMBERS) for row in admin.execute(query, {"own": f"{tenant.id}%"}).fetchall()}


def caught(tenant: Tenant) -> list[tuple]:
    """As whom traps ran: whoever they were, or could become."""
    with tenant.as_admin() as admin:
        admin.execute("SET search_path = pg_catalog")
        return admin.execute("SELECT DISTINCT who, login, mighty FROM public.caught").fetchall()


def assert_nothing_gained(tenant: Tenant, before: set[tuple], way: str) -> None:
    assert might(tenant) - before == set(), way
    assert [row for row in caught(tenant) if row[2]] == [], way


@pytest.fixture
def life(life):
    life.provision()
    return life


@pytest.mark.parametrize("version", FILES[:OF_EVERY_PROJECT])
def test_the_first_files_are_applied_where_no_tenant_may_come(infra, tenant, version):
    building = f"{tenant.id}_building"
    infra.databases.templates.build_version(building, version, "test")
    try:
        with pytest.raises(psycopg.OperationalError, match=r"permission denied|too many connections"):
            tenant.connect(tenant.roles.owner, building)
        with tenant.as_admin("postgres") as admin:
            limit = admin.execute("SELECT datconnlimit FROM pg_database WHERE datname = %s", (building,)).fetchone()
        assert limit == (0,)
    finally:
        with tenant.as_admin("postgres") as admin:
            admin.execute(f"DROP DATABASE {building} WITH (FORCE)")


@pytest.mark.parametrize("version", FILES[OF_EVERY_PROJECT:])
def test_no_file_of_the_template_lends_a_tenant_its_rights(infra, version):
    """A project as it was when the file before was the newest."""
    project = new_project_id()
    roles = names.roles(project)
    tenant = Tenant(infra, project, {login: f"of_{login}" for login in roles.logins})
    infra.databases.ensure_roles(roles, tenant.passwords, "test")
    try:
        infra.databases.templates.build_version(project, FILES[FILES.index(version) - 1], "test")
        infra.databases._furnish(project, roles, "test")
        plant(tenant)
        before = might(tenant)
        upgrades = TemplateUpgrades(infra.databases.cluster, infra.databases.templates.folder)
        upgrades.apply(version, project, roles, "test")
        assert_nothing_gained(tenant, before, version)
    finally:
        drop(infra, project)


def test_a_file_that_writes_rows_runs_what_a_tenant_laid_there_as_nobody_mightier(life, settings, tmp_path):
    tenant = life.tenant()
    plant(tenant)
    before = might(tenant)
    with opened(settings, write_folder(tmp_path / "writing", WRITES)) as newer:
        upgrades = TemplateUpgrades(newer.databases.cluster, newer.databases.templates.folder)
        upgrades.apply(NEXT, life.id, tenant.roles, "test")
        assert upgrades.status(life.id, "test").missing == ()
    assert {login for _, login, _ in caught(tenant)} >= {f"{life.id}_upgrade"}, "the traps were not sprung"
    assert_nothing_gained(tenant, before, "migrate")


def test_the_traps_bite_whoever_comes_as_a_superuser(life):
    """What the others show is not shown by traps that do not work."""
    tenant = life.tenant()
    plant(tenant)
    before = might(tenant)
    try:
        with tenant.as_admin() as victim:
            victim.execute(f"SET ROLE \"{tenant.roles.auth}\"; INSERT INTO auth.users (email) VALUES ('x@example.org')")
        assert {row[0] for row in might(tenant) - before} >= {"planted"}
        assert any(mighty for _, _, mighty in caught(tenant))
    finally:
        with tenant.as_admin() as admin:
            admin.execute("DROP ROLE IF EXISTS planted; REVOKE launchdb_stamp, pg_write_server_files FROM current_user")


@pytest.mark.parametrize(
    "text",
    [
        "ALTER TABLE auth.users ALTER COLUMN aud TYPE text;",
        "UPDATE auth.users SET aud = 'x';",
        "CREATE TABLE launchdb.facts ();",
        "SET LOCAL ROLE launchdb_stamp; UPDATE launchdb.schema_version SET changes = 0;",
        "CREATE ROLE planted SUPERUSER;",
    ],
)
def test_a_file_does_nothing_as_anybody_but_the_parts_of_the_template(life, settings, tmp_path, text):
    """What only the administrator may is in a file of its own that says so."""
    tenant = life.tenant()
    plant(tenant)
    before = might(tenant)
    with opened(settings, write_folder(tmp_path / "mixed", text)) as newer:
        upgrades = TemplateUpgrades(newer.databases.cluster, newer.databases.templates.folder)
        with pytest.raises(InfraError, match=r"does not apply .*\(42501\)"):
            upgrades.apply(NEXT, life.id, tenant.roles, "test")
    assert_nothing_gained(tenant, before, text)


STEPS = {
    "restart": lambda project: RestartProject(project),
    "rotate": lambda project: RotateSecret(project, "databasePassword"),
    "configure": lambda project: ConfigureProject(project),
    "reconcile": lambda project: ReconcileProject(project),
    "extension": lambda project: ExtendProject(project, "cube"),
    "vacuum": lambda project: VacuumProject(project),
    "backup": lambda project: BackupProject(project),
    "pause": lambda project: PauseProject(project),
    "resume": lambda project: ResumeProject(project),
}


@pytest.mark.gpg
def test_no_step_that_comes_by_lends_a_tenant_its_rights(life):
    tenant = life.tenant()
    plant(tenant)
    with tenant.as_admin() as admin:  # something to put right for each
        admin.execute("SET search_path = pg_catalog")
        admin.execute("REVOKE USAGE ON SCHEMA auth FROM anon; DROP FUNCTION storage.extension(text)")
    before = might(tenant)
    for way, arguments in STEPS.items():
        job = life.engine.enqueue(arguments(life.id))
        life.engine.runner.drain()
        assert life.engine.job(job.id).final or life.engine.job(job.id).status == "retrying", way
        assert_nothing_gained(tenant, before, way)

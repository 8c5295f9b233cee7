"""Extensions by the platform API: from a list, as the owner where that is enough, and with a word on what is lacking."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

import jobs.kinds  # noqa: F401 - the kinds under test
from infra.postgres import extensions
from tests.app.test_bad_input import problem
from tests.fixtures.projects import stored_tenant


@pytest.fixture
def project(owner, engine, master_key):
    made = owner.project()["id"]
    engine.runner.drain()
    return made


@pytest.fixture
def path(project):
    return f"/api/projects/{project}/extensions"


@pytest.fixture
def change(owner, path, engine):
    def asked(method, body):
        answer = owner.request(method, path, json=body)
        assert answer.status_code == 202, answer.text
        engine.runner.drain()
        return owner.get(f"/api/jobs/{answer.json()['job']['id']}").json()

    return asked


def listed(owner, path):
    return {row["name"]: row for row in owner.get(path).json()["extensions"]}


def test_a_trusted_one_is_created_and_dropped_by_the_owner(owner, path, change, infra, project):
    assert listed(owner, path)["pgcrypto"] == {
        "name": "pgcrypto", "version": "1.3", "installed": False, "schema": None, "available": True, "reason": None,
    }  # fmt: skip
    job = change("POST", {"name": "pgcrypto"})
    assert (job["kind"], job["status"], job["result"]["schema"]) == ("project.extension", "succeeded", "extensions")
    assert listed(owner, path)["pgcrypto"]["installed"] is True
    tenant = stored_tenant(infra, project)
    with tenant.connect(tenant.roles.owner) as session:
        assert (
            session.execute("SELECT extowner::regrole::text FROM pg_extension WHERE extname = 'pgcrypto'")
            .fetchone()[0]
            .startswith(project)
        )
        assert session.execute("SELECT length(gen_salt('bf'))").fetchone() == (29,)
    assert change("POST", {"name": "pgcrypto"})["status"] == "succeeded", "twice is as good as once"
    assert change("DELETE", {"name": "pgcrypto"})["status"] == "succeeded"
    assert listed(owner, path)["pgcrypto"]["installed"] is False
    assert change("DELETE", {"name": "pgcrypto"})["status"] == "succeeded"


def test_what_depends_on_it_is_named_and_goes_only_with_cascade(owner, path, change, infra, project):
    change("POST", {"name": "citext"})
    tenant = stored_tenant(infra, project)
    with tenant.connect(tenant.roles.owner) as session:
        session.execute("CREATE TABLE people (name citext)")
    job = change("DELETE", {"name": "citext"})
    assert job["status"] == "failed"
    assert "people" in job["error"]["detail"]
    assert change("DELETE", {"name": "citext", "cascade": True})["status"] == "succeeded"


def test_one_that_is_not_trusted_lies_where_no_tenant_may_create(change, infra, project):
    assert "cube" in change("POST", {"name": "earthdistance"})["error"]["detail"]
    assert change("POST", {"name": "cube"})["status"] == "succeeded"
    job = change("POST", {"name": "earthdistance"})
    assert (job["status"], job["result"]["schema"]) == ("succeeded", "launchdb_extensions")
    tenant = stored_tenant(infra, project)
    with tenant.connect(tenant.roles.owner) as session:
        allowed = "SELECT has_schema_privilege('launchdb_extensions', %s)"
        assert session.execute(allowed, ("CREATE",)).fetchone() == (False,)
        assert session.execute(allowed, ("USAGE",)).fetchone() == (True,)
    assert change("DELETE", {"name": "earthdistance"})["status"] == "succeeded"


def test_what_cannot_be_had_is_said(owner, path):
    for name in ("plpython3u", "dblink", "postgres_fdw", "file_fdw", "adminpack", "../x", 'x" CASCADE; --'):
        refused = problem(owner.post(path, json={"name": name}), 422)
        assert refused["errors"] == [{"pointer": "/name", "detail": "it is not on the list of what projects may have"}]
        problem(owner.request("DELETE", path, json={"name": name}), 422)
    rows = listed(owner, path)
    for name in ("vector", "pg_stat_statements"):
        if not rows[name]["available"]:
            assert rows[name]["reason"].startswith("this server")
            assert problem(owner.post(path, json={"name": name}), 422)["errors"][0]["detail"] == rows[name]["reason"]
    assert rows["plpgsql"]["installed"] is True
    for body in ({}, {"name": ""}, {"name": 1}, {"name": "citext", "version": "9"}):
        problem(owner.post(path, json=body), 422)


def test_only_the_owner_of_an_active_project_may(owner, town, path, project, infra):
    stranger = town.owner()
    for method, body in (("GET", None), ("POST", {"name": "citext"}), ("DELETE", {"name": "citext"})):
        problem(stranger.request(method, path, json=body), 404)
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'paused' WHERE id = %s", (project,))
    for method, body in (("GET", None), ("POST", {"name": "citext"}), ("DELETE", {"name": "citext"})):
        assert problem(owner.request(method, path, json=body), 409)["detail"] == "the project is paused"


def test_one_whose_library_is_missing_is_not_offered_and_what_is_offered_works(owner, path, change, infra, project):
    """What a server lists it need not be able to load; an API that is not the administrator is told by a function."""
    tenant = stored_tenant(infra, project)
    with tenant.as_admin() as admin:
        broken = is_broken(admin, "uuid-ossp")
    row = listed(owner, path)["uuid-ossp"]
    assert row["available"] == (not broken)
    if broken:
        assert "gen_random_uuid()" in row["reason"]
        assert "gen_random_uuid()" in str(problem(owner.post(path, json={"name": "uuid-ossp"}), 422))
        return
    assert change("POST", {"name": "uuid-ossp"})["status"] == "succeeded"
    with tenant.connect(tenant.roles.owner) as session:
        assert session.execute("SELECT uuid_generate_v4() IS NOT NULL").fetchone() == (True,)


def test_nothing_is_loaded_that_is_no_extension_of_the_list_and_by_nobody_else(infra):
    with psycopg.connect(infra.settings.database_url, autocommit=True) as session:
        for name in ("auto_explain", "../lib/auto_explain", "nobody_knows", "", "citext'; DROP TABLE projects; --"):
            assert session.execute("SELECT library_loads(%s)", (name,)).fetchone() == (True,)
        assert session.execute("SELECT count(*) FROM pg_settings WHERE name ^@ 'auto_explain.'").fetchone() == (0,)
        allowed = session.execute(
            "SELECT array_agg(rolname::text ORDER BY rolname) FROM pg_roles WHERE rolname ^@ 'launchdb_'"
            " AND NOT rolsuper AND has_function_privilege(rolname, 'library_loads(text)', 'EXECUTE')"
        ).fetchone()[0]
    assert allowed == ["launchdb_api", "launchdb_worker"]


def test_a_library_that_cannot_be_loaded_is_told_from_one_that_can(infra):
    offered = extensions.available_extensions(infra.databases.cluster, "test")
    with infra.databases.cluster.session("test") as admin:
        broken = {name for name, row in offered.items() if row.version is not None and is_broken(admin, name)}
    assert {name for name, row in offered.items() if not row.usable} == broken


def is_broken(admin, name):
    try:
        admin.execute(sql.SQL("LOAD {}").format(sql.Literal(f"$libdir/{name}")))
    except psycopg.errors.UndefinedFile as error:
        return str(error).startswith("could not load library")
    return False

"""launchdb db migrate: who is behind, and bringing them on."""

from __future__ import annotations

import pytest

from infra.postgres.upgrades import TemplateUpgrades
from jobs.kinds import ProvisionProject
from tests.fixtures.successor import NEXT
from tests.jobs.conftest import Engine


@pytest.fixture
def behind(infra, project, newer, launchdb):
    """A project that an older program made, and the command line of the newer one."""
    engine = Engine(infra)
    engine.enqueue(ProvisionProject(project))
    engine.runner.drain()
    engine.close()
    launchdb.environment["LAUNCHDB_PROJECT_MIGRATIONS"] = newer.settings.project_migrations
    return project


@pytest.mark.usefixtures("operator")
def test_who_is_behind_is_said_without_a_change_and_brought_on(behind, newer, launchdb):
    checked = launchdb.run("db", "migrate", "--check", "--json")
    assert checked.code == 1
    assert [(row["id"], row["missing"], row["edited"]) for row in checked.json["behind"]] == [(behind, [NEXT], [])]
    upgrades = TemplateUpgrades(newer.databases.cluster, newer.databases.templates.folder)
    assert upgrades.status(behind, "test").missing == (NEXT,)
    asked = launchdb.run("db", "migrate", "--no-wait", "--json")
    assert (asked.code, asked.json["job"]["kind"]) == (0, "fleet.migrate"), asked.err
    engine = Engine(newer)
    engine.runner.drain()
    engine.close()
    assert upgrades.status(behind, "test").missing == ()
    assert launchdb.run("db", "migrate", "--check").code == 0
    one = launchdb.run("db", "migrate", behind, "--no-wait", "--json")
    assert (one.code, one.json["job"]["kind"]) == (0, "project.migrate"), one.err

"""The sweep holds a project to its own settings, not to those of every project."""

from __future__ import annotations

import psycopg
import pytest

from catalog import settings as kept
from catalog.settings_model import SettingsChanges
from jobs.loops.sweeper import Sweeper
from jobs.requests import lifecycle
from tests.jobs.kinds.conftest import Life

OWN = {"connections": 12, "statementSeconds": 7, "tempMb": 64, "maxRows": 5, "corsOrigins": ["https://a.example.org"]}


@pytest.fixture
def life(engine, infra, project):
    """An active project with settings of its own."""
    made = Life(engine, infra, project)
    made.provision()
    give(made, OWN)
    made.ask(lifecycle.configure)
    return made


def give(life, changes):
    changes = SettingsChanges.model_validate(changes)
    with life.infra.database.transaction() as tx:
        kept.change(tx, life.infra, kept.read(tx, life.id), changes, bounded=False, world=True)


def limits(life):
    with psycopg.connect(life.infra.database.conninfo, autocommit=True) as admin:
        return admin.execute(
            "SELECT ARRAY[rolconnlimit, datconnlimit], setconfig FROM pg_database d"
            "  JOIN pg_db_role_setting ON setdatabase = d.oid JOIN pg_roles ON rolname = datname || '_owner'"
            " WHERE datname = %s AND setrole = 0",
            (life.id,),
        ).fetchone()


def swept(life):
    """Look once and mend; return what was mended."""
    Sweeper(life.infra).run_once()
    life.engine.runner.drain()
    with life.infra.database.autocommit() as tx:
        rows = tx.rows("SELECT result FROM jobs WHERE kind = 'project.reconcile' ORDER BY seq DESC LIMIT 1")
    return rows[0]["result"]["healed"] if rows else []


def test_a_project_with_settings_of_its_own_differs_in_nothing(life):
    connections, stored = limits(life)
    assert connections == [12, 2 * 12 + 28]
    assert {"statement_timeout=7s", "temp_file_limit=64MB"} <= set(stored)
    assert swept(life) == []


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ('ALTER DATABASE "<id>" CONNECTION LIMIT 30', "its connection limit was changed"),
        ("ALTER DATABASE \"<id>\" SET statement_timeout = '120s'", "its settings were changed"),
        ('ALTER DATABASE "<id>" RESET temp_file_limit', "its settings were changed"),
    ],
)
def test_a_limit_changed_by_hand_comes_back_to_the_projects_own(life, statement, named):
    before = limits(life)
    with psycopg.connect(life.infra.database.conninfo, autocommit=True) as admin:
        admin.execute(statement.replace("<id>", life.id))
    assert limits(life) != before
    (healed,) = swept(life)
    assert named in healed
    connections, stored = limits(life)
    assert (connections, set(stored)) == (before[0], set(before[1]))


def test_a_configuration_changed_by_hand_comes_back_to_the_projects_own(life):
    file = life.folder() / "data-api.conf"
    before = file.read_text()
    assert "db-max-rows = 5\n" in before
    file.write_text(before.replace("db-max-rows = 5", "db-max-rows = 1000"))
    assert swept(life) == [f"instance {life.id}: its configuration was changed"]
    assert file.read_text() == before


def test_a_setting_that_no_job_has_brought_is_brought_by_the_sweep(life):
    give(life, {"connections": 9})
    assert len(swept(life)) == 1
    assert limits(life)[0] == [9, 2 * 9 + 28]


def test_a_paused_project_keeps_and_takes_its_limits(life):
    life.ask(lifecycle.pause)
    assert life.row()["status"] == "paused"
    assert limits(life)[0] == [12, 2 * 12 + 28]
    give(life, {"connections": 9, "maxRows": 6})
    assert life.ask(lifecycle.configure).result["settingsVersion"] == 2
    assert limits(life)[0] == [9, 2 * 9 + 28]
    life.ask(lifecycle.resume)
    assert "db-max-rows = 6\n" in (life.folder() / "data-api.conf").read_text()
    assert swept(life) == []


def test_settings_made_before_the_project_are_there_when_it_is(engine, infra, project):
    made = Life(engine, infra, project)
    give(made, OWN)
    made.provision()
    assert limits(made)[0] == [12, 2 * 12 + 28]
    assert "db-max-rows = 5\n" in (made.folder() / "data-api.conf").read_text()
    assert swept(made) == []

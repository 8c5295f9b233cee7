"""Killed at every place of its way, a change of settings arrives whole: limits, data API and the version in force."""

from __future__ import annotations

import psycopg
import pytest

from catalog import settings as kept
from catalog.settings_model import SettingsChanges
from jobs.engine.crash import EXIT_STATUS
from jobs.kinds.project.configure import ConfigureProject
from tests.crash.attempts import attempt_in_a_process
from tests.crash.carrying import installation, pass_on, prepare, run_here, write  # noqa: F401 - a fixture
from tests.crash.places import places
from tests.fixtures.projects import drop

CHANGES = SettingsChanges.model_validate(
    {"connections": 12, "statementSeconds": 7, "maxRows": 5, "schemas": ["public"]}
)


@pytest.mark.parametrize("crash", places(ConfigureProject))
def test_killed_settings_are_in_force_in_the_end(crash, settings, installation):  # noqa: F811 - a fixture
    project = prepare(settings, installation, ())
    try:
        with installation.database.transaction() as tx:
            changed = kept.change(tx, installation, kept.read(tx, project), CHANGES, bounded=True, world=True)
        job = write(installation, ConfigureProject(project))
        assert changed.kept.applied_version == 0
        assert attempt_in_a_process(settings, crash=crash) == EXIT_STATUS, "the crash point was not reached"
        pass_on(installation)
        run_here(installation, job)
        with installation.database.autocommit() as tx:
            assert kept.read(tx, project).applied_version == changed.kept.version == 1
        with psycopg.connect(installation.database.conninfo) as admin:
            limit, stored = admin.execute(
                "SELECT datconnlimit, setconfig FROM pg_database JOIN pg_db_role_setting ON setdatabase = oid"
                " WHERE datname = %s AND setrole = 0",
                (project,),
            ).fetchone()
            serving = admin.execute(
                "SELECT rolconnlimit FROM pg_roles WHERE rolname = ANY (%s)",
                ([f"{project}_owner", f"{project}_authenticator"],),
            ).fetchall()
        assert serving == [(12,), (12,)]
        # Theirs, Auth's, Storage's and our own.
        assert limit == 12 + 12 + 10 + 10 + 8
        assert "statement_timeout=7s" in stored
        text = (settings.instances_folder / project / "data-api.conf").read_text()
        assert 'db-schemas = "public"\n' in text
        assert "db-max-rows = 5\n" in text
    finally:
        drop(installation, project)

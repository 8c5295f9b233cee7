"""Killed at every place, a migration ends as an undisturbed one does: each file is applied once."""

from __future__ import annotations

import pytest

from jobs.engine.crash import EXIT_STATUS
from jobs.kinds.platform.migrate_fleet import MigrateFleet
from jobs.kinds.project.migrate import MigrateProject
from tests.crash.attempts import attempt_in_a_process
from tests.crash.carrying import installation, pass_on, prepare, run_here, steps, write
from tests.crash.places import places
from tests.fixtures.anatomy import anatomy
from tests.fixtures.projects import drop, stored_tenant
from tests.fixtures.successor import NEXT

__all__ = ["installation"]


@pytest.fixture(scope="module")
def undisturbed():
    """What an undisturbed migration left, found once."""
    return {}


def outcome(infra, project: str, job) -> tuple:
    with infra.database.autocommit() as tx:
        row = tx.row("SELECT status, template FROM projects WHERE id = %s", (project,))
        result = tx.value("SELECT result FROM jobs WHERE id = %s", (job.id,))
    told = {name: value for name, value in result.items() if name != "projectId"}
    return anatomy(stored_tenant(infra, project)), row, steps(infra, job), told


@pytest.mark.parametrize("crash", places(MigrateProject))
def test_a_killed_migration_resumes_and_ends_the_same(crash, settings, installation, newer, undisturbed):
    projects = [prepare(settings, installation, ())]
    try:
        if not undisturbed:
            projects.append(prepare(settings, installation, ()))
            job = write(newer, MigrateProject(projects[1]))
            run_here(newer, job)
            undisturbed["outcome"] = outcome(newer, projects[1], job)
        job = write(newer, MigrateProject(projects[0]))
        assert attempt_in_a_process(newer.settings, crash=crash) == EXIT_STATUS, "the crash point was not reached"
        pass_on(newer)
        run_here(newer, job)
        assert outcome(newer, projects[0], job) == undisturbed["outcome"]
        assert outcome(newer, projects[0], job)[3]["applied"] == [NEXT]
    finally:
        for project in projects:
            drop(installation, project)


@pytest.mark.parametrize("crash", places(MigrateFleet))
def test_a_killed_fleet_resumes_and_migrates_each_once(crash, settings, installation, newer):
    projects = [prepare(settings, installation, ()) for _ in range(2)]
    try:
        job = write(newer, MigrateFleet())
        # The parent, its children, the parent again: it dies in one of its turns.
        codes = [attempt_in_a_process(newer.settings, crash=crash)]
        while codes[-1] != EXIT_STATUS and len(codes) < 4:
            codes.append(attempt_in_a_process(newer.settings, crash=crash))
        assert codes[-1] == EXIT_STATUS, "the crash point was not reached"
        pass_on(newer)
        run_here(newer, job)
        with newer.database.autocommit() as tx:
            result = tx.value("SELECT result FROM jobs WHERE id = %s", (job.id,))
            children = tx.value("SELECT count(*) FROM jobs WHERE parent_id = %s", (job.id,))
        assert (result, children) == ({"migrated": 2, "failed": [], "behind": []}, 2)
        assert set(steps(newer, job).values()) == {"succeeded"}
    finally:
        for project in projects:
            drop(installation, project)

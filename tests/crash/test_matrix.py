"""Killed at every place of every step, each kind keeps its whole promise, as an undisturbed run does, and leaks nothing."""

from __future__ import annotations

import shutil

import pytest

from jobs.engine import kind as kinds
from jobs.engine.crash import EXIT_STATUS
from tests.crash.attempts import attempt_in_a_process
from tests.crash.carrying import installation, pass_on, run_here, steps, write
from tests.crash.cases import CASES
from tests.crash.places import places

__all__ = ["installation"]
# Whose promise is one of their own: the file of tests that has it.
ELSEWHERE = {
    "project.warn": "tests/crash/test_mail.py",
    "project.mail": "tests/crash/test_mail.py",
    "fleet.vacuum": "tests/crash/test_maintenance.py",
    "fleet.migrate": "tests/crash/test_migrations.py",
    "fleet.rotate": "tests/crash/test_rotation.py",
    "project.retire_secret": "tests/crash/test_rotation.py",
    "platform.rotate_secret": "tests/crash/test_platform_secrets.py",
    "platform.retire_secret": "tests/crash/test_platform_secrets.py",
    "platform.offsite_sync": "tests/jobs/kinds/test_offsite.py",
}


@pytest.fixture(scope="module")
def undisturbed():
    """What an undisturbed run left, found once."""
    return {}


def outcome(place, project, infra, job) -> tuple:
    """Everything that a kind may change, and the steps that it says it has done."""
    return place.world(project), steps(infra, job)


def parameters() -> list:
    """Every place of every case."""
    return [
        place
        for case in CASES.values()
        for place in places(case.kind, case, name=f"{case.name}-", rare=case.rare, marks=case.marks)
    ]


@pytest.mark.parametrize(("case", "crash"), parameters())
def test_a_killed_job_is_carried_on_and_ends_the_same(case, crash, settings, installation, undisturbed):
    made = []
    try:
        if case.name not in undisturbed:
            made.append(case.place(settings, installation))
            arguments, project = case.begin(made[-1])
            job = made[-1].run(arguments)
            undisturbed[case.name] = outcome(made[-1], project, installation, job)
            made.pop().close()
            forget_all(settings, installation)
        made.append(case.place(settings, installation))
        arguments, project = case.begin(made[-1])
        passwords = made[-1].passwords()
        job = write(installation, arguments)
        # A parent, its children, the parent again: it dies in one of its turns.
        codes = [attempt_in_a_process(settings, crash=crash)]
        while codes[-1] != EXIT_STATUS and len(codes) < 4:
            codes.append(attempt_in_a_process(settings, crash=crash))
        assert codes[-1] == EXIT_STATUS, "the crash point was not reached"
        pass_on(installation)
        run_here(installation, job)
        assert outcome(made[-1], project, installation, job) == undisturbed[case.name]
        if case.name != "rotate_passwords" and passwords:
            assert made[-1].passwords() in ({}, passwords), "nobody's password was changed on the way"
    finally:
        for place in made:
            place.close()


def forget_all(settings, infra):
    """Have the project before be none of this one's business."""
    for folder in (settings.backups_folder, settings.exports_folder, settings.imports_folder):
        for path in folder.iterdir() if folder.is_dir() else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with infra.database.autocommit() as tx:
        tx.execute("DELETE FROM backups")
        tx.execute("UPDATE projects SET status = 'deleted'")


def test_every_kind_is_in_the_matrix():
    built = {declared.name for declared in kinds.kinds().values() if not declared.name.startswith("trial.")}
    tried = {case.kind.kind.name for case in CASES.values()}
    assert built == tried | set(ELSEWHERE)
    assert not tried & set(ELSEWHERE)

"""A job whose every step was finished is taken over once more: looking again can only make, never take away."""

from __future__ import annotations

import pytest

from tests.crash.carrying import installation, run_here, steps, write
from tests.crash.cases import CASES
from tests.crash.test_matrix import outcome

__all__ = ["installation"]


def hand_over(infra, job) -> None:
    """Have the job be one whose worker has died after its last step, before its end."""
    with infra.database.autocommit() as tx:
        tx.execute(
            "UPDATE jobs SET status = 'queued', ready = true, finished_at = NULL, claim_after = now() WHERE id = %s",
            (job.id,),
        )


def acted(infra, job) -> int:
    """How often the job was taken."""
    with infra.database.autocommit() as tx:
        return tx.value("SELECT fence FROM jobs WHERE id = %s", (job.id,))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name, marks=case.marks) for case in CASES.values()])
def test_what_a_finished_job_has_brought_about_outlives_a_second_look(case, settings, installation):
    place = case.place(settings, installation)
    try:
        arguments, project = case.begin(place)
        job = write(installation, arguments)
        run_here(installation, job)
        before, taken = outcome(place, project, installation, job), acted(installation, job)
        assert set(steps(installation, job).values()) == {"succeeded"}
        hand_over(installation, job)
        run_here(installation, job)
        assert acted(installation, job) > taken
        assert outcome(place, project, installation, job) == before
    finally:
        place.close()

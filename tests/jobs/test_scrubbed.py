"""What a job tells its watchers holds no secret, whatever a step says, reports or raises."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from config.logging import scrub
from infra.errors import Refused
from jobs.engine import kind as kinds
from jobs.engine import view
from jobs.engine.kind import Step, kind
from jobs.engine.run import Run
from jobs.engine.runner import Runner

SEEN: list[str] = []  # what watchers see while the step is at it
SAID = "could not reach postgresql://owner:hunter2hunter2@127.0.0.1/db"


def tell_everything(run: Run) -> None:
    run.log(f"log: {SAID}")
    run.progress(1, 1, f"progress: {SAID}")
    with run.infra.database.autocommit() as tx:
        SEEN.append(tx.value("SELECT progress_message FROM jobs WHERE id = %s", (run.job_id,)))
    raise Refused(f"error: {SAID}")


@kind("trial.indiscreet", steps=(Step(tell_everything),), lane=None)
@dataclass(frozen=True)
class Indiscreet:
    """A step that says in each way what it should not."""

    label: str = ""


def test_nothing_that_a_job_tells_holds_a_secret(engine, infra):
    runner = Runner(
        infra,
        engine.leases,
        worker=engine.name,
        queues=["control"],
        serves=sorted(kinds.kinds()),
        scrub=scrub,
        random=Random(1),
    )
    job = engine.enqueue(Indiscreet())
    assert runner.run_one()
    with infra.database.autocommit() as tx:
        jobs, steps = tx.rows("SELECT * FROM jobs"), tx.rows("SELECT * FROM job_steps")
        logged = tx.rows("SELECT data FROM job_events WHERE type = 'log'")
        others = tx.rows("SELECT data FROM job_events WHERE type <> 'log'")
        shown = view.show_job(tx, job.id)
    told = {
        "log": str(logged),
        "progress": str(SEEN),
        "error": str(jobs),
        "step": str(steps),
        "view": str(shown),
        "events": str(others),
    }
    for place, text in told.items():
        assert "hunter2" not in text, f"Nothing that a job tells its watchers holds a secret: {place}"
    assert "log: could not reach" in told["log"]
    assert "progress: could not reach" in told["progress"]
    assert "error: could not reach" in told["error"]

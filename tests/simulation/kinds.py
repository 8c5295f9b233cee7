"""Kinds whose outside world is the simulation's. Their subjects are rows, as projects are."""

from __future__ import annotations

from dataclasses import dataclass

from infra.errors import Refused, Unavailable
from jobs.engine.commands import JobConflict
from jobs.engine.errors import GiveUp
from jobs.engine.kind import AtomicStep, Step, kind


def befall(run) -> None:
    """Have a step fail, now and then."""
    stage = run.infra.world.stage
    if stage._happens(stage.chances.refuse):
        raise stage.random.choice([Unavailable("away"), GiveUp("never"), Refused("no"), ValueError("a defect")])


def ensure(run, part: str, *, fails: bool = True) -> None:
    thing = f"{run.args.project_id}/{part}"
    run.check()
    if fails:
        befall(run)
    run.ledger.mark_intended("thing", thing)
    run.check()
    if thing not in run.infra.world.things:
        run.infra.world.call(run, thing, present=True)
    run.ledger.mark_present("thing", thing)


def remove(run, part: str) -> None:
    thing = f"{run.args.project_id}/{part}"
    run.check()
    run.ledger.mark_releasing("thing", thing)
    run.check()
    run.infra.world.call(run, thing, present=False)
    run.ledger.mark_gone("thing", thing)


def set_state(tx, subject: str, state: str, *, leaves: tuple[str, ...]) -> int:
    return tx.execute(
        "UPDATE simulation.subjects SET state = %s WHERE id = %s AND state = ANY (%s)", (state, subject, list(leaves))
    )


def subject_is_reserved(run, tx) -> None:
    tx.execute("UPDATE simulation.subjects SET built = built + 1 WHERE id = %s", (run.args.project_id,))


def house_is_there(run) -> None:
    ensure(run, "house")


def no_house(run) -> None:
    remove(run, "house")


def garden_is_there(run) -> None:
    ensure(run, "garden")


def no_garden(run) -> None:
    remove(run, "garden")


def subject_is_active(run, tx) -> None:
    set_state(tx, run.args.project_id, "active", leaves=("building",))


def say_failed(args, tx, reason: str) -> None:
    set_state(tx, args.project_id, "failed", leaves=("building",))


def build_again(args, tx) -> None:
    if not set_state(tx, args.project_id, "building", leaves=("failed",)):
        raise JobConflict("the subject is no longer one to be built")


def change_again(args, tx) -> None:
    if not tx.rows(
        "SELECT FROM simulation.subjects WHERE id = %s AND state NOT IN ('ending', 'deleted')", (args.project_id,)
    ):
        raise JobConflict("the subject is deleted")


@kind(
    "trial.sim_build",
    steps=(
        AtomicStep(subject_is_reserved),
        Step(house_is_there, undo=no_house, lasting=True),
        Step(garden_is_there, undo=no_garden, lasting=True),
        AtomicStep(subject_is_active),
    ),
    on_failure="undo",
    attempts=4,
    failed=say_failed,
    retried=build_again,
)
@dataclass(frozen=True)
class Build:
    """Like a provision: undone when it fails."""

    project_id: str


def fence_is_there(run) -> None:
    ensure(run, "fence")


def toll_is_counted(run, tx) -> None:
    tx.execute("UPDATE simulation.subjects SET tolls = tolls + 1 WHERE id = %s", (run.args.project_id,))


@kind(
    "trial.sim_change",
    steps=(Step(fence_is_there, lasting=True), AtomicStep(toll_is_counted)),
    attempts=4,
    retried=change_again,
)
@dataclass(frozen=True)
class Change:
    """Like a restart or a rotation: kept for a retry; its atomic step must count once."""

    project_id: str


@kind("trial.sim_mend", steps=(Step(fence_is_there),), preempts=True, coalesces=True, retried=change_again)
@dataclass(frozen=True)
class Mend:
    """Like a reconcile."""

    project_id: str


def swept(run) -> None:
    run.check()
    befall(run)


@kind(
    "trial.sim_sweep",
    steps=(Step(swept),),
    lane="bulk",
    queue="bulk",
    max_running=1,
    conflicts=("trial.sim_end",),
)
@dataclass(frozen=True)
class Sweep:
    """Like a vacuum or a backup: one at a time, not beside an end."""

    project_id: str


def everything_is_gone(run) -> None:
    for part in ("fence", "garden", "house"):
        remove(run, part)


def subject_is_deleted(run, tx) -> None:
    tx.execute("UPDATE simulation.subjects SET state = 'deleted' WHERE id = %s", (run.args.project_id,))


def say_unfinished(args, tx, reason: str) -> None:
    set_state(tx, args.project_id, "failed", leaves=("ending",))


def end_again(args, tx) -> None:
    if not set_state(tx, args.project_id, "ending", leaves=("failed", "active", "building")):
        raise JobConflict("the subject is deleted")


@kind(
    "trial.sim_end",
    steps=(Step(everything_is_gone, no_return=True), AtomicStep(subject_is_deleted)),
    attempts=10,
    supersedes=True,
    preempts=True,
    priority=1,
    failed=say_unfinished,
    retried=end_again,
)
@dataclass(frozen=True)
class End:
    """Like a delete."""

    project_id: str


def members_are_enqueued(run, tx) -> None:
    for subject in run.args.subjects:
        run.spawn(tx, Sweep(subject))


def members_have_ended(run) -> None:
    run.result["failed"] = [child["id"] for child in run.children() if child["status"] != "succeeded"]


@kind(
    "trial.sim_fleet",
    steps=(AtomicStep(members_are_enqueued), Step(members_have_ended, joins="member")),
    lane=None,
    max_children=1,
)
@dataclass(frozen=True)
class Fleet:
    """A parent of sweeps."""

    subjects: tuple[str, ...]

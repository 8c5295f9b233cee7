"""Random sequences of operations, with workers dying in between, end in the state that a model predicts."""

from __future__ import annotations

from random import Random

import psycopg
import pytest

from catalog import inventory, names, secrets
from jobs.engine import kind as kinds
from jobs.engine.commands import JobConflict, cancel
from jobs.engine.enqueue import enqueue
from jobs.engine.lease import Leases
from jobs.engine.runner import Runner
from jobs.engine.table import find
from jobs.kinds.project.provision import ProvisionProject
from jobs.loops.sweeper import Sweeper
from jobs.projects import drift
from tests.crash.carrying import installation, pass_on  # noqa: F401 - a fixture
from tests.crash.operations import OPERATIONS, Delete, Model, granted, write_a_row
from tests.crash.places import some_by_seed
from tests.fixtures.beats import beating
from tests.fixtures.projects import add_project, drop, stored_tenant

# Two hundred sequences; every run plays forty of them, by seed.
BATCHES, BATCH, ALWAYS = 25, 8, 5


class Dead(BaseException):
    """kill -9, as far as one process can have it of itself."""


class Deadly:
    """Dies at the n-th place it passes."""

    def __init__(self, places: int) -> None:
        self.left = places

    def die_if_reached(self, *_place) -> None:
        self.left -= 1
        if self.left == 0:
            raise Dead


def worker(infra, chance) -> Runner:
    leases = Leases(infra.database, infra.settings, worker="here")
    return Runner(infra, leases, worker="here", queues=["control", "bulk"], serves=sorted(kinds.kinds()), random=chance)


def carry(infra, chance: Random, job) -> str:
    """Run a job by workers, some of whom die; perhaps somebody cancels it. Return how it ended."""
    for _ in range(chance.choice([0, 0, 1, 1, 2])):
        doomed = worker(infra, chance)
        doomed.crash = Deadly(chance.randrange(1, 16))
        try:
            doomed.run_one()
        except Dead:
            pass_on(infra)
    if chance.random() < 0.15:
        try:
            with infra.database.transaction() as tx:
                cancel(tx, job.id, by="the model")
        except JobConflict:
            pass
    last = worker(infra, chance)
    with beating(last.leases):
        last.drain()
    with infra.database.autocommit() as tx:
        return find(tx, job.id).status


def sequence(infra, seed: int) -> tuple[str, Model]:
    """Play one sequence on a project of its own; return it with what the model says of it."""
    chance, model = Random(seed), Model()
    project = add_project(infra)
    with infra.database.transaction() as tx:
        job = enqueue(tx, ProvisionProject(project))
    if carry(infra, chance, job) != "succeeded":
        model.status = "failed"
    while model.status not in ("failed", "deleted") and len(model.done) < 7:
        write_a_row(infra, project, model)
        operation = chance.choice(OPERATIONS)(chance)
        if isinstance(operation, Delete) and len(model.done) < 4:
            continue
        job = granted(operation, model, infra, project)
        ended = carry(infra, chance, job) if job is not None else "refused"
        model.done.append(f"{operation}: {ended}")
        if ended == "cancelled":
            sweep(infra, chance)
        if ended == "succeeded" or operation.lasts:
            operation.foresee(model)
        assert ended in ("succeeded", "cancelled", "refused"), model.done
    return project, model


def sweep(infra, chance: Random) -> None:
    """What the scheduler does every half minute: what a cancelled job left undone is found and mended."""
    Sweeper(infra).run_once()
    worker(infra, chance).drain()


def check(infra, project: str, model: Model) -> None:
    """The catalogue, the world and the tenant's rows are as the model says, and the sweep has nothing to mend."""
    told = f"{project}: {model}"
    with infra.database.autocommit() as tx:
        row = tx.row("SELECT * FROM projects WHERE id = %s", (project,))
        things = inventory.of_project(inventory.take_inventory(tx, infra), project)
        known = secrets.read_all(tx, infra.vault, project)
    assert row["status"] == model.status, told
    if model.status in ("failed", "deleted"):
        kept = ("secrets",) if model.status == "failed" else ()
        assert [thing for thing in things if thing.kind not in kept] == [], told
        return
    assert {thing.verdict for thing in things} == {"owned"}, told
    assert row["pool_size"] == model.pool_size, told
    limit = {} if model.statement_seconds is None else {"statementSeconds": model.statement_seconds}
    wanted = drift.WantedProject(project, model.status, model.pool_size, limit)
    assert drift.differences(infra, infra.databases.survey(None, "test"), wanted, known) == [], told
    tenant = stored_tenant(infra, project)
    if model.status == "paused":
        with pytest.raises(psycopg.OperationalError):
            tenant.connect(names.roles(project).owner)
        return
    with tenant.connect(names.roles(project).owner) as owner:
        if model.rows:
            assert {found[0] for found in owner.execute("SELECT id FROM kept")} == model.rows, told


@pytest.mark.gpg
@pytest.mark.parametrize("batch", some_by_seed(range(BATCHES), ALWAYS, "sequences"))
def test_random_sequences_with_dying_workers_end_as_the_model_predicts(batch, installation):  # noqa: F811
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        project = ""
        try:
            project, model = sequence(installation, seed)
            check(installation, project, model)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        finally:
            if project:
                drop(installation, project)

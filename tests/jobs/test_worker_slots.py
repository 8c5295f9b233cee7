"""Workers' threads are shared out: control and bulk apart, a reserve for what cannot wait, and no more than a share each."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from catalog.ids import new_id, new_project_id
from jobs.engine import kind as kinds
from jobs.engine import table
from jobs.engine.kind import Step, kind
from jobs.kinds import DeleteProject, ProvisionProject, WakeProject
from tests.fixtures.projects import add_project
from tests.jobs.trial_kinds import Bulk, Fleet, Member, Nothing, Turn


def do_nothing(_run) -> None:
    return


@kind("trial.heavy", steps=(Step(do_nothing),), lane="bulk", queue="bulk")
@dataclass(frozen=True)
class Heavy:
    """A bulk job of which any number may run at a time."""

    label: str
    project_id: str


@kind("trial.burst", steps=(Step(do_nothing),), bursts=True)
@dataclass(frozen=True)
class Burst:
    """A job in which nothing of a tenant's runs."""

    label: str
    project_id: str


@kind("trial.rescue", steps=(Step(do_nothing),), priority=1)
@dataclass(frozen=True)
class Rescue:
    """A job that nobody should wait for."""

    label: str
    project_id: str


class Slots:
    """Workers as rows, with so many threads, and claims in their names."""

    def __init__(self, engine) -> None:
        self.engine = engine
        self.infra = engine.infra
        with self.infra.database.autocommit() as tx:
            tx.execute("UPDATE workers SET stopped_at = now()")  # the engine's own

    def worker(self, threads, queues=("control", "bulk")):
        name = new_id("job")
        with self.infra.database.autocommit() as tx:
            tx.execute(
                "INSERT INTO workers (name, lock_key, host, pid, queues, serves, threads)"
                " VALUES (%s, nextval('worker_lock_key'), 'here', 1, %s, %s, %s)",
                (name, list(queues), sorted(kinds.kinds()), threads),
            )
        return lambda: self._claim(name, queues)

    def _claim(self, name, queues):
        with self.infra.database.autocommit() as tx:
            return table.claim(tx, worker=name, queues=list(queues), served=sorted(kinds.kinds()), lease_seconds=60)

    def project(self, like=None):
        """Make a project, of an owner of its own or of another one's."""
        if like is None:
            return add_project(self.infra, status="active")
        project = new_project_id()
        with self.infra.database.autocommit() as tx:
            tx.execute(
                "INSERT INTO projects (id, owner_id, name, status)"
                " SELECT %s, owner_id, %s, 'active' FROM projects WHERE id = %s",
                (project, project, like),
            )
        return project

    def done(self, job):
        with self.infra.database.autocommit() as tx:
            table.FencedWriter(job.id, job.fence).release(tx, table.ReleaseInto("succeeded"))

    def waiting_for(self, job):
        with self.infra.database.autocommit() as tx:
            return tx.value("SELECT job_waiting_for(jobs)->>'message' FROM jobs WHERE id = %s", (job.id,))


@pytest.fixture
def slots(engine):
    """The threads of workers, and who has them."""
    return Slots(engine)


def taken(claim) -> list[str]:
    """Claim until nothing more can run; return the labels."""
    found = []
    while (job := claim()) is not None:
        found.append(job.args.get("label", job.kind))
    return found


def test_a_quarter_of_the_slots_is_kept_for_what_cannot_wait(slots):
    claim = slots.worker(8)
    ordinary = [slots.engine.enqueue(Turn(f"t{n}", slots.project())) for n in range(8)]
    assert taken(claim) == [f"t{n}" for n in range(6)]
    assert slots.waiting_for(ordinary[6]) == "the last free workers are kept for what cannot wait"
    for n in range(2):
        slots.engine.enqueue(Rescue(f"r{n}", slots.project()))
    assert taken(claim) == ["r0", "r1"]


def test_short_jobs_of_the_platforms_own_are_not_counted_out(slots):
    claim = slots.worker(4)
    for n in range(4):
        slots.engine.enqueue(Nothing(f"n{n}"))
    assert taken(claim) == ["n0", "n1", "n2", "n3"]


def test_creating_deleting_and_waking_a_project_may_use_the_reserve():
    assert all(arguments.kind.priority > 0 for arguments in (DeleteProject, ProvisionProject, WakeProject))


def test_bulk_jobs_have_no_more_than_half_of_workers_that_serve_control_as_well(slots):
    claim = slots.worker(8)
    heavy = [slots.engine.enqueue(Heavy(f"h{n}", slots.project())) for n in range(6)]
    assert taken(claim) == ["h0", "h1", "h2", "h3"]
    assert slots.waiting_for(heavy[4]) == "the last free workers are kept for what cannot wait"
    slots.engine.enqueue(Turn("t", slots.project()))
    assert taken(claim) == ["t"]


def test_workers_of_their_own_are_the_bulk_queues_whole(slots):
    slots.worker(4, ["control"])
    claim = slots.worker(4, ["bulk"])
    for n in range(4):
        slots.engine.enqueue(Heavy(f"h{n}", slots.project()))
    assert taken(claim) == ["h0", "h1", "h2", "h3"]


def test_an_owner_has_at_most_half_of_the_slots_whatever_the_jobs_are_and_whoever_asked(slots):
    claim = slots.worker(8)
    mine = slots.project()
    theirs = [slots.engine.enqueue(Turn(f"a{n}", slots.project(mine)), by="operator") for n in range(6)]
    slots.engine.enqueue(Turn("b", slots.project()))
    assert taken(claim) == ["a0", "a1", "a2", "a3", "b"]
    assert slots.waiting_for(theirs[4]) == "4 jobs of the same owner run already, which is their share"


def test_alone_an_owner_has_all_ordinary_slots_for_what_no_tenant_holds_up(slots):
    claim = slots.worker(8)
    mine = slots.project()
    slots.project()
    for n in range(7):
        slots.engine.enqueue(Burst(f"a{n}", slots.project(mine)))
    assert taken(claim) == [f"a{n}" for n in range(6)], "and the reserve is kept"


def test_making_projects_is_what_no_tenant_holds_up_and_it_alone():
    bursting = {declared.name for declared in kinds.kinds().values() if declared.bursts}
    assert {name for name in bursting if not name.startswith("trial.")} == {"project.provision"}


def test_an_owner_alone_makes_projects_with_every_slot_and_the_next_one_is_anothers_as_soon_as_they_wait(slots):
    claim = slots.worker(8)
    mine, other = slots.project(), slots.project()
    waiting = [slots.engine.enqueue(ProvisionProject(slots.project(mine))) for _ in range(10)]
    running = [claim() for _ in range(8)]
    assert all(running)
    theirs = slots.engine.enqueue(ProvisionProject(slots.project(other)))
    assert slots.waiting_for(waiting[8]) == "5 jobs of the same owner run already, which is their share"
    for job in running[:3]:
        slots.done(job)
    assert claim().id == theirs.id, "though the others came first"
    assert slots.waiting_for(waiting[8]) is None, "nobody else waits any more"


def test_what_a_tenant_may_hold_up_stays_within_their_share_though_nobody_else_waits(slots):
    claim = slots.worker(8)
    mine = slots.project()
    slots.project()
    for n in range(6):
        slots.engine.enqueue(Turn(f"a{n}", slots.project(mine)))
    assert taken(claim) == ["a0", "a1", "a2", "a3"]


def test_an_owner_whose_share_is_used_up_may_still_delete_one_project(slots):
    claim = slots.worker(8)
    mine = slots.project()
    for n in range(4):
        slots.engine.enqueue(Turn(f"a{n}", slots.project(mine)))
    slots.project()
    assert len(taken(claim)) == 4
    for n in range(3):
        slots.engine.enqueue(Rescue(f"r{n}", slots.project(mine)))
    assert taken(claim) == ["r0"]


def test_an_owner_has_at_most_half_of_what_a_kind_may_have_at_a_time(slots):
    claim = slots.worker(8)
    mine = slots.project()
    slots.engine.enqueue(Bulk("a0", mine))
    second = slots.engine.enqueue(Bulk("a1", slots.project(mine)))
    slots.engine.enqueue(Bulk("b", slots.project()))
    assert taken(claim) == ["a0", "b"]
    assert slots.waiting_for(second) == "2 jobs of this kind run already"


def test_an_owner_has_at_most_half_of_a_fleets_places(slots):
    claim = slots.worker(16)
    fleet = slots.engine.enqueue(Fleet("fleet", 0))
    assert claim().id == fleet.id
    mine = slots.project()
    for n in range(2):
        slots.engine.enqueue(Member(f"a{n}", slots.project(mine)), parent_id=fleet.id)
    for n in range(2):
        slots.engine.enqueue(Member(f"b{n}", slots.project()), parent_id=fleet.id)
    assert taken(claim) == ["a0", "b0", "b1"]


def test_where_all_projects_are_one_owners_all_the_slots_are_theirs(slots):
    claim = slots.worker(4)
    mine = slots.project()
    for n in range(3):
        slots.engine.enqueue(Turn(f"a{n}", slots.project(mine)))
    assert taken(claim) == ["a0", "a1", "a2"]


def test_a_lone_thread_is_not_shared_out(slots):
    claim = slots.worker(1)
    for n in range(2):
        slots.engine.enqueue(Turn(f"a{n}", slots.project()))
    assert taken(claim) == ["a0", "a1"]

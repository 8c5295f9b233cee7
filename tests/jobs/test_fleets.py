"""Parents wait in no worker's slot: they are parked, and their last child lets them go on."""

from __future__ import annotations

from infra.errors import Refused
from jobs.engine import view
from jobs.engine.commands import cancel, retry
from tests.jobs.trial_kinds import BEHAVIOUR, End, Fleet, Turn


def shown(engine, job):
    with engine.infra.database.autocommit() as tx:
        return view.show_job(tx, job.id)


def children(engine, job):
    with engine.infra.database.autocommit() as tx:
        return tx.rows("SELECT id, status, args FROM jobs WHERE parent_id = %s ORDER BY seq", (job.id,))


def test_a_fleet_ends_when_its_last_member_has(engine):
    fleet = engine.enqueue(Fleet("f", 5))
    engine.runner.run_one()
    parked = shown(engine, fleet)
    assert parked["status"] == "queued"
    assert parked["waitingFor"]["reason"] == "children"
    assert parked["children"] == {"total": 5, "succeeded": 0, "failed": 0, "open": 5}
    assert [step["title"] for step in parked["steps"]] == ["Children are enqueued", "Wait for 5 members"]
    engine.runner.run_one()
    waits = (shown(engine, fleet)["waitingFor"] or {}).get("reason")
    assert waits == "children", "A parent goes on when its last child has ended"
    engine.runner.drain()
    done = shown(engine, fleet)
    assert (done["status"], done["progress"]["percent"], done["attempt"]) == ("succeeded", 100.0, 1)


def test_a_parked_fleet_holds_no_slot_for_others(engine):
    engine.enqueue(Fleet("f", 2))
    engine.runner.run_one()
    other = engine.enqueue(Turn("x", "proj_00000000000000ff"), priority=9)
    engine.runner.run_one()
    assert engine.job(other.id).status == "succeeded"


def test_no_more_members_run_at_a_time_than_the_fleet_allows(engine, infra):
    from jobs.engine import table

    engine.enqueue(Fleet("f", 5))
    engine.runner.run_one()
    with infra.database.autocommit() as tx:
        taken = [
            table.claim(tx, worker=engine.name, queues=["control"], served=engine.runner.serves, lease_seconds=9)
            for _ in range(5)
        ]
    assert sum(job is not None for job in taken) == 3


def test_failed_members_are_named_and_alone_tried_again(engine):
    for number in (1, 3):
        BEHAVIOUR[f"f{number}/nothing"] = [Refused("no")]
    fleet = engine.enqueue(Fleet("f", 5))
    engine.runner.drain()
    failed = shown(engine, fleet)
    assert (failed["status"], failed["error"]["detail"]) == ("failed", "2 of 5 failed")
    assert failed["children"]["failed"] == 2
    with engine.infra.database.transaction() as tx:
        retry(tx, fleet.id)
    engine.runner.drain()
    done = shown(engine, fleet)
    assert (done["status"], done["result"]) == ("succeeded", {"failed": []})
    assert done["children"] == {"total": 5, "succeeded": 5, "failed": 0, "open": 0}


def test_failures_within_the_budget_do_not_fail_the_fleet(engine):
    BEHAVIOUR["f1/nothing"] = Refused("no")
    fleet = engine.enqueue(Fleet("f", 3, budget=1))
    engine.runner.drain()
    assert shown(engine, fleet)["result"] == {"failed": ["f1"]}


def test_cancelling_a_fleet_cancels_its_members(engine):
    fleet = engine.enqueue(Fleet("f", 4))
    engine.runner.run_one()
    with engine.infra.database.transaction() as tx:
        cancel(tx, fleet.id, by="me")
    engine.runner.drain()
    assert shown(engine, fleet)["status"] == "cancelled"
    assert {child["status"] for child in children(engine, fleet)} == {"cancelled"}


def test_a_fleet_cancelled_while_a_member_runs_ends_when_that_has_stopped(engine, at_gate):
    entered, gate = at_gate("f0/nothing")
    fleet = engine.enqueue(Fleet("f", 2))
    engine.runner.run_one()
    running = engine.in_background()
    assert entered.wait(10)
    with engine.infra.database.transaction() as tx:
        cancel(tx, fleet.id, by="me")
    gate.set()
    running.join(10)
    engine.runner.drain()
    assert shown(engine, fleet)["status"] == "cancelled"


def test_a_fleet_whose_last_member_is_superseded_by_a_deletion_goes_on(engine):
    fleet = engine.enqueue(Fleet("f", 1, budget=1))
    engine.runner.run_one()
    engine.enqueue(End("end", children(engine, fleet)[0]["args"]["project_id"]))
    engine.runner.drain()
    assert shown(engine, fleet)["status"] == "succeeded"


def test_a_member_cancelled_last_lets_the_fleet_go_on(engine):
    fleet = engine.enqueue(Fleet("f", 1, budget=1))
    engine.runner.run_one()
    with engine.infra.database.transaction() as tx:
        cancel(tx, children(engine, fleet)[0]["id"], by="me")
    engine.runner.drain()
    assert shown(engine, fleet)["status"] == "succeeded"

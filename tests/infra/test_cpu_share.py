"""Whose sessions step back when processors are short, from what looks have seen: no server, no clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.postgres.watch.cpu_share import AT_A_TIME, LOW, CpuShares
from infra.postgres.watch.processes import process_facts
from infra.postgres.watch.snapshot import WatchLimits
from tests.infra.test_watch_judge import A, B, C, look, session, worker

LIMITS = WatchLimits(cpu=0.5, processors=4, owner=0.5)
STAT = "17 (postgres: x) y) S 1 17 17 0 -1 4194560 953 0 0 0 {user} {system} 0 0 20 {nice} 1 0 55 231 4 184 1 1 0"


class Looks:
    """Looks at sessions every two seconds, of which each uses so many processors, and does what is to be done."""

    def __init__(self):
        self.shares, self.now, self.cpu, self.nice = CpuShares(), 0.0, {}, {}

    def look(self, *sessions, rates, seconds=2.0, **more):
        self.now += seconds
        for each in sessions:
            self.cpu[each.pid] = self.cpu.get(each.pid, 0.0) + rates.get(each.pid, 0.0) * seconds
        seen = look(
            *(replace(each, cpu=self.cpu[each.pid], nice=self.nice.get(each.pid, 0)) for each in sessions), **more
        )
        self.shares = self.shares.with_look(seen, LIMITS, self.now)
        changes = self.shares.to_change(seen)
        self.shares = self.shares.with_changes(changes)
        self.nice |= {each.pid: nice for each, nice in changes}
        return [(each.pid, nice) for each, nice in changes]

    def until(self, *sessions, rates, changes, most=10):
        for _ in range(most):
            if changed := self.look(*sessions, rates=rates):
                assert changed == changes
                return
        pytest.fail(f"nothing was changed in {most} looks")


def test_who_uses_more_than_a_projects_share_steps_back_with_all_its_sessions_and_nobody_else_does():
    looks = Looks()
    busy, beside, other = session(1), session(2), session(3, B)
    looks.until(busy, beside, other, rates={1: 1.0, 3: 0.4}, changes=[(1, LOW), (2, LOW)])
    assert looks.look(busy, beside, session(4), other, rates={1: 1.0, 3: 0.4}) == [(4, LOW)], "a new session, too"


def test_a_short_effort_is_nothing_to_step_back_for():
    looks = Looks()
    for rate in (0.0, 0.9, 0.0, 0.0, 0.0, 0.9, 0.0):
        assert looks.look(session(1), rates={1: rate}) == []


def test_who_has_stepped_back_stays_there_while_it_wants_more_than_it_gets():
    looks = Looks()
    looks.until(session(1), rates={1: 1.0}, changes=[(1, LOW)])
    for _ in range(20):
        assert looks.look(session(1), rates={1: 0.01}) == []
    waits = replace(session(1), wait="ClientRead", state="idle")
    looks.until(waits, rates={}, changes=[(1, 0)])


def test_what_cannot_be_raised_again_is_tried_once():
    looks = Looks()
    looks.until(session(1), rates={1: 1.0}, changes=[(1, LOW)])
    idle = session(1, state="idle")
    looks.until(idle, rates={}, changes=[(1, 0)])
    looks.nice[1] = LOW
    for _ in range(5):
        assert looks.look(idle, rates={}) == []


def test_all_projects_of_an_owner_together_have_the_owners_share():
    looks = Looks()
    theirs, other = [session(1, A), session(2, C), session(5, C), session(6, A), session(7, C)], session(3, B)
    rates = {1: 0.4, 2: 0.2, 5: 0.2, 6: 0.05, 3: 0.4}
    for _ in range(10):
        assert looks.look(*theirs, other, rates=rates) == [], "each below its own, and together below the owner's"
    rates |= {7: 2.0}
    changed = {pid for _ in range(10) for pid, _nice in looks.look(*theirs, other, rates=rates)}
    assert changed == {1, 2, 5, 6, 7}


def test_no_look_changes_so_many_that_the_next_would_be_late():
    looks = Looks()
    many = [session(pid) for pid in range(1, 31)]
    rates = {each.pid: 1.0 for each in many}
    looks.look(*many, rates=rates)
    assert len(looks.look(*many, rates=rates)) == AT_A_TIME


def test_workers_of_the_servers_own_never_step_back():
    looks = Looks()
    for _ in range(10):
        assert looks.look(worker(1), rates={1: 2.0}) == []


@pytest.mark.parametrize(
    ("stat", "group", "nice"),
    [
        (STAT.format(user=150, system=50, nice=19), None, 19),
        (STAT.format(user=150, system=50, nice=19), "/autogroup-12 nice 0\n", 0),
        (STAT.format(user=150, system=50, nice=19), "/autogroup-12 nice 19\n", 19),
        (STAT.format(user=150, system=50, nice=0), "/autogroup-12 nice 19\n", 0),
    ],
)
def test_a_process_steps_back_as_far_as_it_and_its_session_do(stat, group, nice):
    facts = process_facts("Name:\tpostgres\nRssAnon:\t   2048 kB\n", stat, group)
    assert (facts.memory, facts.cpu, facts.nice) == (2048 * 1024, 2.0, nice)


def test_what_the_kernel_does_not_say_is_not_known():
    assert process_facts(None, None, None) == process_facts("", "1 (x) S", "") == process_facts("Name: x", "", None)

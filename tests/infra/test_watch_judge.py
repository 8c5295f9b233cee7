"""Who has to end, from what a look has seen: no server, no clock."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from infra.postgres.watch.judge import OFFENCE_SECONDS, WORKER_CANCELS, History, judge
from infra.postgres.watch.notify_queue import PAGE_BYTES, databases_in
from infra.postgres.watch.snapshot import AUTOVACUUM, CLIENT, MIB, Backend, Snapshot, WatchedDatabase, WatchLimits

LIMITS = WatchLimits()
MORNING = datetime(2026, 1, 5, 6, tzinfo=UTC)
A, B, C = ("proj_" + letter * 16 for letter in "abc")


def session(pid, project=A, **more):
    known = {"type": CLIENT, "database": ord(project[5]), "role": 1, "login": f"{project}_owner", "state": "active"}
    return Backend(pid=pid, started=MORNING + timedelta(seconds=pid), project=project, **{**known, **more})


def worker(pid, project=A, **more):
    return session(
        pid, project, **{"type": AUTOVACUUM, "login": "", "role": 0, "wait": "PgSleep", "query": MORNING, **more}
    )


def look(*backends, **more):
    databases = {ord(project[5]): WatchedDatabase(project) for project in (A, B, C)}
    owners = {A: "own_1", B: "own_2", C: "own_1"}
    known = {"databases": databases, "owners": owners, "locks": 1000, "predicates": 1000, "connections": 100}
    return Snapshot(tuple(backends), **{**known, **more})


def ended(seen, limits=LIMITS, history=History(), now=0.0):  # noqa: B008 - frozen
    return [(each.cause, each.backend.pid) for each in judge(seen, limits, history.with_look(seen, now), now)]


@pytest.mark.parametrize(
    ("seconds", "told", "application", "goes"),
    [
        (124.0, None, "", False),
        (126.0, None, "", True),
        (126.0, 600.0, "", False),
        (606.0, 600.0, "", True),
        (16.0, 10.0, "", True),
        (16.0, 10.0, "launchdb-sql", False),
        (36.0, 10.0, "launchdb-sql", True),
    ],
)
def test_a_statement_ends_by_the_limit_of_its_database_with_the_grace(seconds, told, application, goes):
    databases = {ord("a"): WatchedDatabase(A, statement=told)}
    seen = look(session(1, statement=seconds, application=application), databases=databases)
    assert ended(seen) == ([("statement", 1)] if goes else [])


@pytest.mark.parametrize("state", ["idle", "idle in transaction", ""])
def test_only_what_runs_is_a_statement_that_takes_long(state):
    assert ended(look(session(1, state=state, statement=9999.0))) == []


@pytest.mark.parametrize("state", ["idle in transaction", "idle in transaction (aborted)"])
def test_a_transaction_may_sit_idle_as_long_as_its_database_says(state):
    databases = {ord("a"): WatchedDatabase(A, idle=10.0)}
    sits = [
        session(1, state=state, idle=14.0),
        session(2, state=state, idle=16.0),
        session(3, state="idle", idle=999.0),
    ]
    assert ended(look(*sits, databases=databases)) == [("idle_transaction", 2)]


def test_the_largest_holders_of_locks_end_until_their_project_is_below_its_share():
    held = [session(1, locks=50), session(2, locks=300), session(3, locks=140), session(4, B, locks=190)]
    assert ended(look(*held)) == [("locks", 2)]
    assert ended(look(*held, session(5, locks=170))) == [("locks", 2), ("locks", 5)]


def test_many_sessions_that_hold_few_locks_each_are_one_projects():
    held = [session(pid, locks=10) for pid in range(1, 31)]
    assert len(ended(look(*held))) == 10


def test_all_projects_of_an_owner_have_one_share_of_the_locks():
    limits = replace(LIMITS, locks=0.4, owner=0.5)
    held = [session(1, A, locks=300), session(2, C, locks=250), session(3, B, locks=390)]
    assert ended(look(*held), limits) == [("locks", 1)]


def test_locks_on_what_serializable_transactions_have_read_count_for_themselves():
    assert ended(look(session(1, predicates=150, locks=150), session(2, B, predicates=250))) == [("locks", 2)]


def test_a_session_with_too_much_memory_ends():
    assert ended(look(session(1, memory=500 * MIB), session(2, memory=513 * MIB))) == [("memory", 2)]


def test_the_largest_sessions_of_an_owner_end_whose_sessions_have_too_much_memory_together():
    many = [session(pid, A if pid % 2 else C, memory=(400 + pid) * MIB) for pid in range(1, 7)]
    assert ended(look(*many, session(7, B, memory=500 * MIB))) == [
        ("memory", 6), ("memory", 5), ("memory", 4),
    ]  # fmt: skip


def test_the_queue_is_freed_of_who_may_hold_it_longest_where_it_is_filled():
    held = [
        session(1, B, transaction=900.0),
        session(2, A, transaction=7.0, state="idle in transaction"),
        session(3, A, transaction=60.0, state="idle in transaction"),
        session(4, A, state="idle", idle=9999.0),
    ]
    assert ended(look(*held, queue=0.11, fillers=frozenset({ord("a")}))) == [("notify_queue", 3)]
    assert ended(look(*held, queue=0.11)) == [("notify_queue", 1)]
    assert ended(look(*held, queue=0.09, fillers=frozenset({ord("a")}))) == []


def test_a_client_that_does_not_take_what_it_is_sent_holds_the_queue():
    assert ended(look(session(1, state="idle", wait="ClientWrite", idle=6.0), queue=0.2)) == [("notify_queue", 1)]
    assert ended(look(session(1, state="idle", wait="ClientRead", idle=6.0), queue=0.2)) == []
    assert ended(look(session(1, transaction=4.0), queue=0.2)) == []


@pytest.mark.parametrize(
    ("more", "held"),
    [
        ({"wait": "PgSleep"}, True),
        ({"wait": "VacuumDelay"}, False),
        ({"wait": "", "phase": 3}, True),
        ({"wait": "", "phase": 4}, True),
        ({"wait": "", "phase": 1}, False),
        ({"wait": "", "activity": "autovacuum: BRIN summarize public.t 5"}, True),
        ({"wait": "", "activity": "autovacuum: VACUUM ANALYZE public.t"}, False),
    ],
)
def test_a_worker_of_autovacuum_may_run_a_tenants_functions_for_a_while(more, held):
    first = look(worker(1, **more))
    history = History().with_look(first, 0.0)
    assert ended(first, history=history, now=29.0) == []
    assert ended(first, history=history, now=31.0) == ([("autovacuum", 1)] if held else [])


def test_one_worker_is_left_to_all_others_however_short_they_are_held():
    three = look(worker(1, A), worker(2, A, query=MORNING + timedelta(1)), worker(3, B))
    assert len(ended(three)) == 1
    assert ended(look(worker(1, A), worker(2, A))) == []


def test_a_project_that_has_held_a_worker_is_given_no_time_for_a_while():
    first = look(worker(1))
    (verdict,) = judge(first, LIMITS, History().with_look(first, 0.0), 31.0)
    assert verdict.gently
    history = History().with_endings([verdict], 31.0)
    again = look(worker(2), worker(3, B))
    assert ended(again, history=history, now=40.0) == [("autovacuum", 2)]
    assert ended(again, history=history, now=31.0 + OFFENCE_SECONDS) == []


def test_functions_that_compute_get_a_share_of_autovacuum_and_no_more_and_the_table_is_named():
    """Each time for less than a worker may run them at a stretch, and again at once."""
    history, held, cancelled, seconds = History(), 0, [], 3600
    for number in range(0, seconds, 2):
        # A new statement each ten seconds; none while the table is left alone after it was cancelled.
        query = MORNING + timedelta(number // 10)
        mine = worker(1, wait="", phase=3, query=query, activity="autovacuum: ANALYZE public.mine\n; x")
        seen = look(mine, worker(2, B, wait="", phase=1))
        history = history.with_look(seen, float(number))
        verdicts = judge(seen, LIMITS, history, float(number))
        held += 2 if not verdicts else 0
        cancelled += verdicts
    assert held < 0.25 * seconds
    assert cancelled[0].gently
    assert cancelled[0].reason.endswith("ANALYZE public.mine ; x")


def test_a_worker_that_meets_such_functions_again_and_again_goes():
    history = History(offences={A: 0.0})
    for number in range(WORKER_CANCELS + 1):
        seen = look(worker(1, query=MORNING + timedelta(number)))
        history = history.with_look(seen, float(number))
        (verdict,) = judge(seen, LIMITS, history, float(number))
        assert verdict.gently == (number < WORKER_CANCELS)
        history = history.with_endings([verdict], float(number))


def test_a_statement_that_was_cancelled_and_still_runs_ends_with_its_session_another_one_is_cancelled():
    first = look(session(1, statement=999.0, query=MORNING))
    (verdict,) = judge(first, LIMITS, History(), 0.0)
    assert verdict.gently
    history = History().with_endings([verdict], 0.0)
    (again,) = judge(first, LIMITS, history.with_look(first, 1.0), 1.0)
    assert not again.gently
    other = look(session(1, statement=999.0, query=MORNING + timedelta(1)))
    (new,) = judge(other, LIMITS, history.with_look(other, 1.0), 1.0)
    assert new.gently


def test_what_is_gone_is_forgotten():
    history = History(
        cancelled=frozenset({(1, MORNING, MORNING)}), in_code={(2, MORNING, MORNING): 1.0}, offences={A: 1.0}
    )
    assert history.with_look(look(), 1.0 + OFFENCE_SECONDS) == History(at=1.0 + OFFENCE_SECONDS)


def test_the_newest_idle_sessions_of_an_owner_end_only_while_connections_are_short():
    theirs = [session(pid, A if pid % 2 else C, state="idle" if pid > 10 else "active") for pid in range(1, 61)]
    assert ended(look(*theirs)) == []
    crowded = look(*theirs, *(session(pid, B, state="idle") for pid in range(101, 121)))
    assert ended(crowded) == [("connections", pid) for pid in range(60, 50, -1)]


def test_who_has_the_server_alone_has_all_its_connections():
    theirs = [session(pid, state="idle") for pid in range(1, 100)]
    assert ended(look(*theirs, owners={A: "own_1", C: "own_1"})) == []


def test_a_session_that_is_beyond_several_limits_ends_once():
    assert ended(look(session(1, locks=900, statement=9999.0, memory=1000 * MIB))) == [("locks", 1)]


def test_the_file_of_the_queue_tells_whose_databases_fill_it():
    def entry(database, payload):
        length = 16 + len(payload)
        return struct.pack("=iIIi", length, database, 7, 8) + payload + bytes(-length % 4)

    first = entry(5, b"pgrst\0reload\0") + entry(9, b"x\0" + b"y" * 77 + b"\0")
    page = first + entry(0, bytes(PAGE_BYTES - len(first) - 16))
    half = entry(11, b"z\0\0")
    assert databases_in(page + half.ljust(PAGE_BYTES, b"\0")) == {5, 9, 11}
    assert databases_in(b"") == frozenset()

"""A whole installation under fire: everything that was accepted is done, once, and nothing is left over."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from catalog import inventory
from infra.errors import Unavailable
from scripts.bench.figures import tree
from scripts.bench.installation import installation
from tests.jobs.conftest import wait_until

QUIET_SECONDS = 120


@pytest.fixture
def at():
    """An installation of two workers and two schedulers."""
    with installation(LAUNCHDB_FORMATION="worker=2,scheduler=2", LAUNCHDB_WORKER_THREADS="2") as running:
        yield running


def worker_pids(at) -> list[int]:
    with at.infra.database.autocommit() as tx:
        rows = tx.rows("SELECT pid FROM workers WHERE stopped_at IS NULL")
    ours = set(tree(at.supervisor))
    return [row["pid"] for row in rows if row["pid"] in ours]


def kill_all_workers(at) -> None:
    for pid in worker_pids(at):
        os.kill(pid, signal.SIGKILL)


def valkey_pid(at) -> int:
    return at.infra.doorbell._redis.info("server")["process_id"]


def postmaster_pid(at) -> int:
    with at.infra.database.autocommit() as tx:
        backend = tx.value("SELECT pg_backend_pid()")
    return int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])


def insist(at, name: str) -> httpx.Response:
    """Ask for a project as a client does that repeats its request with the same key until it gets an answer."""
    key = uuid.uuid4().hex
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = at.http.post("/api/projects", json={"name": name}, headers={"Idempotency-Key": key})
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code < 500:
            return answer
        assert time.monotonic() < deadline, f"no answer for {name}: {answer}"
        time.sleep(0.2)


def strike(at) -> None:
    """Everything at once: dead workers, a forgetful Redis, a dead Redis, a Postgres that restarts."""
    time.sleep(0.5)
    kill_all_workers(at)
    at.infra.doorbell._redis.flushall()
    time.sleep(1.0)
    os.kill(valkey_pid(at), signal.SIGKILL)
    time.sleep(1.0)
    os.kill(postmaster_pid(at), signal.SIGINT)
    time.sleep(3.0)
    wait_until(lambda: _strikes_workers(at), 30)


def _strikes_workers(at) -> bool:
    try:
        kill_all_workers(at)
    except Exception:
        return False
    return True


def wait_until_quiet(at) -> None:
    deadline = time.monotonic() + QUIET_SECONDS
    while not _is_quiet(at):
        assert time.monotonic() < deadline, "jobs are left over"
        time.sleep(0.2)


def _is_quiet(at) -> bool:
    try:
        return at.unfinished() == 0
    except Unavailable:
        return False  # Postgres is still coming back


@pytest.mark.parametrize("count", [12, pytest.param(50, marks=pytest.mark.full)])
def test_all_projects_survive_dead_workers_a_lost_redis_and_a_restarted_postgres(at, count):
    striker = threading.Thread(target=strike, args=(at,))
    striker.start()
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda number: insist(at, f"campaign {number}"), range(count)))
    striker.join(60)
    assert {answer.status_code for answer in answers} == {202}
    wait_until_quiet(at)
    with at.infra.database.autocommit() as tx:
        projects = tx.rows("SELECT id, status, status_reason FROM projects WHERE name LIKE 'campaign %%'")
        provisions = tx.value("SELECT count(*) FROM jobs WHERE kind = 'project.provision'")
        things = inventory.take_inventory(tx, at.infra)
    assert len(projects) == count
    assert provisions == count + 1
    assert all(project["status"] == "active" or project["status_reason"] for project in projects)
    assert sum(project["status"] == "active" for project in projects) == count
    assert [thing for thing in things if thing.verdict != "owned"] == []
    databases = {thing.name for thing in things if thing.kind == "database"}
    assert {project["id"] for project in projects} <= databases
    assert len(databases) == count + 1


@pytest.mark.timing
def test_after_all_workers_died_work_goes_on_within_ten_seconds(at):
    names = [f"takeover {number}" for number in range(10)]
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda name: insist(at, name), names))
    kill_all_workers(at)
    killed_at = time.monotonic()
    with at.infra.database.autocommit() as tx:
        since = tx.value("SELECT clock_timestamp()")

    def claimed_anew() -> bool:
        with at.infra.database.autocommit() as tx:
            return tx.value("SELECT EXISTS (SELECT FROM job_events WHERE type = 'job' AND data->>'status' = 'running'"
                            " AND created_at > %s)", (since,))  # fmt: skip

    wait_until(claimed_anew, 10)
    assert time.monotonic() - killed_at < 10
    at.wait_until_quiet(60)


@pytest.mark.timing
@pytest.mark.parametrize("seconds", [10, pytest.param(60, marks=pytest.mark.full)])
def test_projects_are_created_while_redis_hangs(at, seconds):
    pid = valkey_pid(at)
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        number = 0
        while time.monotonic() - started < seconds:
            asked = time.monotonic()
            body = at.create(f"without redis {number}", wait_seconds=20)
            assert body["project"]["status"] == "active"
            assert time.monotonic() - asked < 15
            number += 1
    finally:
        os.kill(pid, signal.SIGCONT)
    assert number >= 2

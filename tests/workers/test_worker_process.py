"""Real worker processes: killed, frozen, told to leave, cut off from Redis and from Postgres."""

from __future__ import annotations

import os
import signal
import time

import pytest
import redis

from tests.jobs.conftest import wait_until
from tests.jobs.process_kinds import Marks, Patient, Tick

P = "proj_0000000000000001"


def shut(processes, thing):
    with processes.infra.database.autocommit() as tx:
        tx.execute("INSERT INTO gates VALUES (%s)", (thing,))


def open_gate(processes, thing):
    with processes.infra.database.autocommit() as tx:
        tx.execute("DELETE FROM gates WHERE thing = %s", (thing,))


def test_a_worker_hears_the_bell_and_runs_the_job(processes):
    processes.worker()
    assert processes.finished(processes.enqueue(Tick()).id).status == "succeeded"


@pytest.mark.timing
def test_a_killed_workers_job_runs_again_within_two_seconds(processes):
    processes.start("scheduler")
    first, second = processes.worker(), processes.worker()
    shut(processes, "a/first")
    job = processes.enqueue(Marks("a"))
    wait_until(lambda: processes.marks("a/first") == 1)
    holder = int(processes.job(job.id).worker.split(":")[1])
    killed_at = time.monotonic()
    os.kill(holder, signal.SIGKILL)
    wait_until(lambda: processes.marks("a/first") == 2)
    assert time.monotonic() - killed_at < 2.0
    open_gate(processes, "a/first")
    done = processes.finished(job.id)
    assert (done.status, done.crashes) == ("succeeded", 1)
    assert {first.pid, second.pid} - {holder} == {int(done.worker.split(":")[1])}


def test_a_frozen_worker_that_wakes_is_refused_everywhere(processes):
    """Its step, its open session and its finish."""
    processes.start("scheduler")
    frozen = processes.worker()
    shut(processes, "a/second")
    job = processes.enqueue(Marks("a"))
    # Its session must be open by then: one that a step opens after it woke is new, and nobody could have ended it.
    wait_until(lambda: processes.marks("a/second/waits") == 1)
    old_fence = processes.job(job.id).fence
    os.kill(frozen.pid, signal.SIGSTOP)
    processes.worker()
    wait_until(lambda: processes.job(job.id).fence > old_fence, 3 * processes.infra.settings.lease_seconds + 15)
    open_gate(processes, "a/second")
    done = processes.finished(job.id)
    assert done.status == "succeeded"
    os.kill(frozen.pid, signal.SIGCONT)
    wait_until(lambda: "lease lost, nothing written" in processes.logs())
    with processes.infra.database.autocommit() as tx:
        rows = tx.rows("SELECT thing, fence FROM marks WHERE thing = 'a/second'")
    assert rows == [{"thing": "a/second", "fence": done.fence}]
    assert processes.job(job.id) == done
    later = processes.enqueue(Tick())
    assert processes.finished(later.id).status == "succeeded"


def test_a_worker_told_to_leave_gives_a_long_step_back_and_goes(processes):
    leaving = processes.worker()
    job = processes.enqueue(Patient("a"))
    wait_until(lambda: processes.marks("a/patient") == 1)
    leaving.terminate()
    assert leaving.wait(10) == 0
    given_back = processes.job(job.id)
    assert (given_back.status, given_back.attempt, given_back.crashes) == ("queued", 0, 0)
    assert processes.live_workers() == set()


def test_duplicate_forged_and_garbage_messages_change_nothing(processes):
    processes.worker()
    job = processes.enqueue(Tick())
    done = processes.finished(job.id)
    bell = redis.Redis.from_url(processes.infra.settings.redis_url)
    for _ in range(100):
        bell.lpush("launchdb:bell:control", job.id)
    bell.lpush("launchdb:bell:control", "job_" + "f" * 32, "garbage", b"\xff\xfe\x00", '{"actor_name": "os.system"}')
    wait_until(lambda: bell.llen("launchdb:bell:control") == 0)
    bell.close()
    assert processes.finished(processes.enqueue(Tick()).id).status == "succeeded"
    assert processes.job(job.id) == done


def test_jobs_survive_a_flush_of_redis(processes):
    jobs = [processes.enqueue(Tick(str(number))) for number in range(20)]
    client = redis.Redis.from_url(processes.infra.settings.redis_url)
    client.flushall()
    client.close()
    processes.start("scheduler")
    processes.worker()
    for job in jobs:
        assert processes.finished(job.id).status == "succeeded"


def test_without_redis_jobs_are_taken_from_the_table(processes, tmp_path):
    processes.environment["LAUNCHDB_REDIS_URL"] = f"unix://{tmp_path}/nobody-is-there"
    processes.worker()
    assert processes.finished(processes.enqueue(Tick()).id, 5).status == "succeeded"


def test_a_worker_outlives_the_end_of_all_its_sessions(processes):
    processes.start("scheduler")
    worker = processes.worker()
    shut(processes, "a/first")
    job = processes.enqueue(Marks("a"))
    wait_until(lambda: processes.marks("a/first") == 1)
    with processes.infra.database.autocommit() as tx:
        tx.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'launchdb%' AND pid <> pg_backend_pid()"
            " AND application_name <> 'launchdb'"
        )
    open_gate(processes, "a/first")
    done = processes.finished(job.id)
    assert (done.status, done.crashes) == ("succeeded", 0)
    assert worker.poll() is None


def test_an_idle_worker_picks_a_job_up_within_a_blink(processes):
    processes.worker()
    waits = []
    for _ in range(10):
        job = processes.finished(processes.enqueue(Tick()).id)
        waits.append((job.started_at - job.created_at).total_seconds())
    assert sorted(waits)[5] < 0.5

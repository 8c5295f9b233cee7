"""A stack that is well says nothing, however late an answer comes that a server was asked to hold back."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import redis

from app.http import waiting
from infra.edge import proxy
from infra.instances import broker_client as docker_broker
from infra.instances.containers import docker, shape
from infra.signals import doorbell
from scripts.cli import client
from tests.fixtures.servers import wait_until
from tests.jobs.process_kinds import Tick
from workers import broker

PAUSE_SECONDS = 3.0
LEAST_SECONDS = 3.0  # Valkey's own clock (--hz 1) takes one of them


def socket_timeout(made: redis.Redis) -> float:
    return made.connection_pool.connection_kwargs["socket_timeout"]


@pytest.fixture
def bell(infra, settings):
    """What a worker waits for bells with, as it is built."""
    waits = broker.DoorbellBroker(settings.redis_url, infra.doorbell, infra.database, serves=[], threads=1)
    consumer = waits.consume("control")
    yield consumer
    consumer.close()


def test_a_client_waits_clearly_longer_than_the_server_holds_its_answer_back(bell):
    held = {
        "a bell": (broker.BLOCK_SECONDS, socket_timeout(bell._redis)),
        "a request that Caddy holds": (proxy.HELD_SECONDS, proxy.ANSWER_SECONDS),
        "a job that the command line waits for": (waiting.LONGEST_SECONDS, client.TIMEOUT_SECONDS),
        # Docker's own client adds the grace to its time-out.
        "the end of a container, by the broker": (shape.STOP_SECONDS + docker.SECONDS, docker_broker.SECONDS),
    }
    assert {what: times for what, times in held.items() if times[1] < times[0] + LEAST_SECONDS} == {}


@pytest.mark.timing
def test_an_answer_that_comes_late_is_no_absence(processes):
    processes.start("scheduler")
    processes.worker()
    assert processes.finished(processes.enqueue(Tick()).id).status == "succeeded"
    server = redis.Redis.from_url(processes.infra.settings.redis_url)
    time.sleep(doorbell.REST_SECONDS)  # what is told of the first job does not wait, and is told by then
    server.client_pause(int(PAUSE_SECONDS * 1000))
    assert server.ping(), "the answer comes when the pause is over"
    server.close()
    assert processes.finished(processes.enqueue(Tick()).id).status == "succeeded"
    lines = [json.loads(line) for line in processes.logs().splitlines() if line]
    assert [line for line in lines if line["level"] != "info" or "redis" in line["event"]] == []


def test_one_that_is_asked_to_leave_has_nothing_to_complain_of(processes):
    leaving = [processes.start("scheduler"), processes.worker()]
    wait_until(lambda: processes.logs().count("started") == 2)
    for process in leaving:
        process.terminate()
    wait_until(lambda: all(process.poll() is not None for process in leaving))
    lines = [json.loads(line) for line in processes.logs().splitlines() if line]
    assert [line for line in lines if line["level"] != "info"] == []


def test_that_redis_is_away_is_said_once_and_that_it_is_back_once(settings, tmp_path, caplog):
    caplog.set_level("INFO", "infra.signals.doorbell")
    known = Path(tmp_path) / "valkey.sock"
    rings = doorbell.Doorbell(f"unix://{known}")
    for _ in range(2):
        assert not rings.ring("nobody", ["job_x"])
        time.sleep(doorbell.REST_SECONDS)  # it is not asked again before that
    known.symlink_to(settings.redis_url.removeprefix("unix://"))
    wait_until(lambda: rings.ring("nobody", ["job_x"]))
    assert rings.ring("nobody", ["job_x"])
    rings.close()
    assert [record.message for record in caplog.records] == ["doorbell unreachable", "doorbell reached again"]

"""A process that runs out of threads, memory or file descriptors: it says so, of itself, and ends when it lasts."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
import redis

from infra import exhaustion
from infra.errors import Unavailable
from infra.secrets import secretfiles
from infra.signals import doorbell
from jobs.engine import failure
from tests.app.server import served
from tests.fixtures.forked import CHECKOUT
from tests.fixtures.servers import throwaway, wait_until
from tests.jobs.process_kinds import Tick

# Each asks a server that is there, from a process that has no descriptor left to ask with.
ASKED = """
import os, resource, sys, logging
from pathlib import Path
from config.settings import load
from infra.postgres import database; from infra.signals import doorbell, limiter; from infra import files, pipeline
from infra.errors import InfraError
import infra.instances.containers.docker, infra.instances.containers.shape, socket, json
logging.basicConfig(level=logging.INFO, format="%(message)s %(error)s %(reason)s", stream=sys.stdout)
logging.getLogger().handlers[0].setFormatter(logging.Formatter("%(message)s %(error)s %(reason)s", defaults={"error": "", "reason": ""}))
settings = load()
home = Path(sys.argv[1])
listening = socket.socket(socket.AF_UNIX)
listening.bind(str(home / "docker.sock"))
listening.listen(1)
bell, limits = doorbell.Doorbell(settings.redis_url), limiter.RateLimiter(settings.redis_url)
pool = database.Database(settings.database_url, name="asked")
direct = lambda: pool.connect(application_name="asked")
shape = infra.instances.containers.shape.ContainerShape.of(settings)
asked = {
    "postgres": direct,
    "docker": lambda: infra.instances.containers.docker.Docker(shape, str(home / "docker.sock")).list(),
    "a file": lambda: files.replace(home / "a file", "with this in it"),
    "a program": lambda: pipeline.run(["true"], timeout_seconds=5),
}
opened = []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        opened.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
said = {}
for name, ask in asked.items():
    try:
        ask()
        said[name] = "answered"
    except InfraError as error:
        said[name] = [str(error), error.dependency]
bell.ring("control", ["job_x"])
limits.hit(10, "somebody")
for handle in opened:
    os.close(handle)
print(json.dumps(said))
"""

AT = 'connection to server at "127.0.0.1", port 5432 failed:'


@pytest.fixture
def short_folder():
    """A folder below which Unix sockets have room for their names."""
    folder = throwaway("ldb-")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def ended(process, seconds=60.0):
    wait_until(lambda: process.poll() is not None, seconds)
    return process.returncode


def events(processes) -> set[str]:
    return {json.loads(line)["event"] for line in processes.logs().splitlines() if line}


def exhaust(pid: int, limit: int) -> None:
    """Leave the process what it has, and nothing more."""
    if limit == resource.RLIMIT_NOFILE:
        most = max(int(place.name) for place in Path(f"/proc/{pid}/fd").iterdir()) + 1
    else:
        most = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize() + (1 << 20)
    # The soft limit: a process that does not raise it is as well off as with the hard one.
    resource.prlimit(pid, limit, (most, resource.prlimit(pid, limit)[1]))


def cut_off(infra) -> None:
    """End the sessions of all processes but this test's own: they have to connect again."""
    with infra.database.autocommit() as tx:
        tx.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'launchdb-%%' AND pid <> pg_backend_pid()", ()
        )  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "said"), [(resource.RLIMIT_NOFILE, "file descriptors"), (resource.RLIMIT_AS, "memory")]
)
def test_a_process_that_is_out_of_something_for_long_says_so_and_ends(processes, infra, limit, said):
    scheduler, worker = processes.start("scheduler"), processes.worker()
    wait_until(lambda: {"scheduler started", "worker started"} <= events(processes))
    for process in (scheduler, worker):
        exhaust(process.pid, limit)
    cut_off(infra)
    assert [ended(process) for process in (scheduler, worker)] == [exhaustion.EXIT_STATUS] * 2
    lines = [json.loads(line) for line in processes.logs().splitlines() if line]
    last = [line["reason"] for line in lines if line["event"] == "ending, to be started again"]
    assert len(last) == 2
    assert all(reason.startswith(f"this process has run out of {said}") for reason in last)
    assert [line for line in lines if "is away" in json.dumps(line) or "unavailable" in json.dumps(line).lower()] == []
    # Whoever starts it again has one that works.
    processes.worker()
    assert processes.finished(processes.enqueue(Tick()).id).status == "succeeded"


def test_what_passes_is_no_reason_to_end(processes, infra):
    worker = processes.worker()
    wait_until(lambda: "worker started" in events(processes))
    before = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    exhaust(worker.pid, resource.RLIMIT_NOFILE)
    cut_off(infra)
    wait_until(lambda: "exhausted" in events(processes))
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, before)
    assert processes.finished(processes.enqueue(Tick()).id).status == "succeeded"
    wait_until(lambda: "not exhausted any more" in events(processes))
    assert worker.poll() is None


def test_an_api_that_is_out_of_something_names_itself_and_is_made_anew(settings, infra):
    secretfiles.ensure(settings.secrets_folder, settings.home / ".env")
    with infra.database.transaction() as tx:
        infra.vault.check_master_key(tx)
    with served(settings) as url, httpx.Client(base_url=url, timeout=10) as http:
        assert http.get("/api/ready").status_code == 200
        child = api_process(infra)
        exhaust(child, resource.RLIMIT_NOFILE)
        answer = http.get("/api/ready")  # on the connection that is there already
        assert (answer.status_code, list(answer.json()["dependencies"])) == (503, ["process"])
        wait_until(lambda: not Path(f"/proc/{child}").exists(), 30)
        wait_until(lambda: ready(url), 30)


def test_an_api_that_gets_no_thread_for_a_request_is_made_anew(settings, infra):
    secretfiles.ensure(settings.secrets_folder, settings.home / ".env")
    with infra.database.transaction() as tx:
        infra.vault.check_master_key(tx)
    with served(settings) as url:
        child = api_process(infra)
        exhaust(child, resource.RLIMIT_AS)
        with ThreadPoolExecutor(8) as clients:
            for _ in range(16):
                clients.submit(ready, url)
        wait_until(lambda: not Path(f"/proc/{child}").exists(), 30)
        wait_until(lambda: ready(url), 30)
    said = (settings.home / "api.log").read_text()
    assert "this process has run out of memory" in said
    assert "is away" not in said


def test_what_gets_no_thread_goes_without_and_gets_one_later(settings, caplog):
    """Watchers of a job are told, or poll: a step, or a request, never fails of it."""
    rings = doorbell.Doorbell(settings.redis_url)
    with no_thread():
        rings.changed("job_x")
    heard = redis.Redis.from_url(settings.redis_url).pubsub(ignore_subscribe_messages=True)
    heard.subscribe(doorbell.CHANGES)
    wait_until(lambda: rings.changed("job_y") or heard.get_message(timeout=0.1))
    heard.close()
    rings.close()
    assert "this process has run out of memory" in str([vars(record).get("reason") for record in caplog.records])


@contextmanager
def no_thread():
    """Have this very process have no room for a thread's stack."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    stack = threading.stack_size(32 << 20)  # more than those that have ended have left
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        threading.stack_size(stack)


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def api_process(infra) -> int:
    """The process that holds the API's sessions."""
    with psycopg.connect(infra.database.conninfo) as look:
        port = look.execute(
            "SELECT client_port FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'launchdb-api'"
        ).fetchone()[0]
    mark = f":{port:04X}"
    inode = next(
        line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[1].endswith(mark)
    )
    for place in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if place.readlink().name == f"socket:[{inode}]":
                return int(place.parts[2])
        except OSError:
            continue
    raise AssertionError("nobody has that socket")


def test_nobody_else_is_said_to_be_away_and_no_program_to_be_unfit(settings, short_folder):
    environment = {"PATH": os.environ["PATH"], "LAUNCHDB_HOME": str(short_folder)}
    environment |= {"LAUNCHDB_DATABASE_URL": settings.database_url, "LAUNCHDB_REDIS_URL": settings.redis_url}
    done = subprocess.run(
        [sys.executable, "-c", ASKED, short_folder],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *logged, told = done.stdout.splitlines()
    reason = "this process has run out of file descriptors (it may have 64)"
    said = json.loads(told)
    assert {name: (text.startswith(reason), whose) for name, (text, whose) in said.items()} == dict.fromkeys(
        said, (True, None)
    )
    for event in ("doorbell unreachable", "rate limits are not counted"):
        assert any(line.startswith(f"{event} {reason}") for line in logged), logged


@pytest.mark.parametrize("role", ["worker", "scheduler"])
def test_one_that_cannot_have_its_threads_says_why_and_ends(processes, role):
    """`ulimit -v`: enough to load the program, and not enough for what it starts."""
    measured = processes.start(role)
    wait_until(lambda: f"{role} started" in processes.logs(), 60)
    whole = int(Path(f"/proc/{measured.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    process = processes.start(role)
    resource.prlimit(process.pid, resource.RLIMIT_AS, (whole // 2, whole // 2))
    assert ended(process) != 0
    assert "this process has run out of memory" in processes.logs(), processes.logs()


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (RuntimeError("can't start new thread"), True),
        (MemoryError(), True),
        (OSError(24, "Too many open files"), True),
        (psycopg.OperationalError("connection failed: could not create socket: Too many open files"), True),
        (psycopg.errors.TooManyConnections("sorry, too many clients already"), False),
        (psycopg.errors.OutOfMemory("out of memory"), False),
        (psycopg.OperationalError("connection refused"), False),
        # Said by the server while a session begins, which is why there is no state.
        (psycopg.OperationalError(f"connection failed: {AT} FATAL:  out of memory\nDETAIL:  Failed on request"), False),
        (psycopg.OperationalError(f"{AT} could not fork new process for connection: Cannot allocate memory\n"), False),
        (psycopg.OperationalError(f'{AT} FATAL:  could not open file "x": Too many open files in system'), False),
        (
            psycopg.OperationalError(f"{AT} FATAL:  out of memory\n{AT} could not create socket: Too many open files"),
            True,
        ),
        (psycopg.OperationalError(f"{AT} out of memory"), True),
        (redis.ResponseError("Can't BGSAVE: fork: Cannot allocate memory"), False),
        (redis.ConnectionError("Error 24 connecting to 127.0.0.1:6379. Too many open files."), True),
        (RuntimeError("dictionary changed size during iteration"), False),
        (OSError(111, "Connection refused"), False),
    ],
)
def test_what_a_failure_tells_of_whose_shortage_it_is(error, ours):
    assert exhaustion.is_shortage(error) == ours
    with pytest.raises(Unavailable) as raised:
        unavailable(error)
    assert bool(raised.value.exhausted) == ours
    assert raised.value.dependency == (None if ours else "postgres")
    assert failure.is_transient(error) or not ours, "the job is tried again"
    assert failure.describe(error).startswith("this process has run out of") == ours


def unavailable(error: Exception) -> None:
    try:
        raise error  # noqa: TRY301 - as an adapter has it
    except Exception as caught:
        raise Unavailable("Postgres is away", dependency="postgres") from caught

"""Start, stop, take-over and restart of a whole installation, with real processes."""

from __future__ import annotations

import os
import pwd
import re
import resource
import signal
import socket
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from infra.embedded import launch, programs
from infra.embedded.accounts import reachable, service_account
from infra.embedded.postgres import DATA, is_port_free, leftover_server
from infra.pipeline import Account
from infra.secrets import secretfiles
from tests.embedded.conftest import child_of, children_of, is_alive
from tests.fixtures.servers import wait_until


def assert_servers_answer(home) -> None:
    with psycopg.connect(home.settings.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM projects").fetchone() == (0,)
    with redis.Redis.from_url(home.settings.redis_url) as bell:
        assert bell.ping()


def data_folder(home) -> Path:
    return Path(re.search(rf'"{DATA}": "(.*)"', (home.path / "state.json").read_text())[1])


def test_a_start_serves_and_a_stop_leaves_nothing_running(home):
    supervisor = home.start()
    assert_servers_answer(home)
    pids = list(children_of(supervisor.pid))
    assert len(pids) == 6, "Postgres, Valkey, API, two workers, scheduler"
    home.stop(supervisor)
    assert not [pid for pid in pids if is_alive(pid)]
    ended = re.findall(r"(\w+)(?:\.\d)? ended", home.log("supervisor"))
    assert list(dict.fromkeys(ended)) == ["prepare", "worker", "api", "scheduler", "valkey", "postgres"]


def test_no_secret_stands_in_a_command_line_or_the_state(home):
    supervisor = home.start()
    secrets = [secretfiles.current(home.settings.secrets_folder, name) for name in secretfiles.NAMES]
    seen = "".join(children_of(supervisor.pid).values()) + (home.path / "state.json").read_text()
    assert not [secret for secret in secrets if secret in seen]
    assert (home.path / ".env").stat().st_mode & 0o777 == 0o600
    assert {path.stat().st_mode & 0o777 for path in home.settings.secrets_folder.iterdir()} == {0o600}


@pytest.mark.timing
def test_a_killed_child_is_back_within_a_second(home):
    supervisor = home.start()
    scheduler = child_of(supervisor.pid, "sleep 10003")
    os.kill(scheduler, signal.SIGKILL)
    killed_at = time.monotonic()
    wait_until(lambda: child_of(supervisor.pid, "sleep 10003") not in (None, scheduler))
    assert time.monotonic() - killed_at < 1


def test_a_supervisor_without_a_descriptor_left_goes_on_and_starts_what_died_later(home):
    supervisor = home.start()
    before = resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    scheduler = child_of(supervisor.pid, "sleep 10003")
    os.kill(scheduler, signal.SIGKILL)
    wait_until(lambda: scheduler not in children_of(supervisor.pid))
    time.sleep(1)  # in which it has tried again, more than once
    assert child_of(supervisor.pid, "sleep 10003") is None
    resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE, before)
    wait_until(lambda: child_of(supervisor.pid, "sleep 10003") is not None)
    assert list(children_of(supervisor.pid).values()).count("sleep 10003") == 1
    home.stop(supervisor)


def test_a_killed_postgres_is_back_and_holds_what_it_held(home):
    home.start()
    with psycopg.connect(home.settings.database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    os.kill(leftover_server(data_folder(home)), signal.SIGKILL)

    def holds():
        try:
            with psycopg.connect(home.settings.database_url) as connection:
                return connection.execute("SELECT one FROM kept").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    wait_until(holds)


@pytest.mark.timing
def test_after_a_killed_supervisor_nothing_is_left_and_the_next_start_is_quick(home):
    supervisor = home.start()
    pids = list(children_of(supervisor.pid))
    supervisor.kill()
    supervisor.wait()
    began = time.monotonic()
    home.start()
    assert time.monotonic() - began < 10
    assert_servers_answer(home)
    assert not [pid for pid in pids if is_alive(pid)]


def test_a_postgres_that_outlived_its_supervisor_is_ended_in_order(home):
    supervisor = home.start()
    pid = leftover_server(data_folder(home))
    os.kill(pid, signal.SIGSTOP)  # it cannot hear that its supervisor dies
    supervisor.kill()
    supervisor.wait()
    os.kill(pid, signal.SIGCONT)
    home.start()
    assert_servers_answer(home)
    assert leftover_server(data_folder(home)) != pid


def test_a_second_supervisor_on_one_home_is_refused_in_one_sentence(home):
    supervisor = home.start()
    assert home.refusal() == f"LaunchDB already runs on {home.path}; `launchdb down` stops it"
    assert supervisor.poll() is None


def test_down_stops_the_supervisor_of_a_home(home):
    supervisor = home.start()
    assert launch.running(home.settings) == supervisor.pid
    assert launch.stop(home.settings)
    assert supervisor.wait(5) == 0
    assert not launch.stop(home.settings)


def test_a_taken_port_is_named_and_nothing_is_begun(home):
    with socket.create_server(("127.0.0.1", home.settings.port)):
        assert home.refusal().startswith(f"port {home.settings.port} is taken by another program")
    assert not (home.path / "state.json").exists()


def test_a_server_port_taken_between_two_starts_is_named(home):
    home.stop(home.start())
    port = int(re.search(r"127.0.0.1:(\d+)", home.settings.database_url)[1])
    wait_until(lambda: is_port_free(port))
    with socket.create_server(("127.0.0.1", port)):
        assert home.refusal().startswith(f"port {port} of this home's Postgres is taken")


def test_a_database_that_was_half_made_is_made_again(home):
    above = home.path / "postgres"
    (above / "data.new").mkdir(parents=True)
    (above / "data.new" / "PG_VERSION").write_text("17\n")
    if account := service_account():
        home.path.chmod(0o711)
        os.chown(above, account.uid, account.gid)
    home.start()
    assert_servers_answer(home)
    assert sorted(path.name for path in above.iterdir()) == ["data"]


def test_data_that_is_gone_is_not_replaced_by_an_empty_database(home):
    home.stop(home.start())
    data = data_folder(home)
    data.rename(data.with_name("elsewhere"))
    assert home.refusal().startswith("the data of this home's Postgres is gone")


def test_a_home_deep_in_the_tree_gets_a_short_socket(make_home, tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True, mode=0o755)
    home = make_home(deep)
    home.start()
    assert_servers_answer(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_home_that_the_service_account_cannot_reach_keeps_its_data_elsewhere(make_home, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    service = tmp_path / "service"
    home = make_home(closed, LAUNCHDB_SERVICE_FOLDER=str(service))
    home.stop(home.start())
    assert service in data_folder(home).parents
    assert closed.stat().st_mode & 0o777 == 0o700, "a folder that we did not make was changed"
    home.start()
    assert_servers_answer(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_an_ordinary_user_starts_everything_as_himself(make_home, tmp_path):
    entry = pwd.getpwnam("nobody")
    somebody = Account(entry.pw_uid, entry.pw_gid)
    if not all(reachable(path, somebody) for path in (Path(programs.__file__), Path(sys.executable).resolve())):
        pytest.skip("this checkout, or its Python, is closed to other accounts")
    mine = tmp_path / "mine"
    mine.mkdir()
    home = make_home(mine)
    os.chown(mine, somebody.uid, somebody.gid)
    supervisor = home.start(account=somebody)
    owners = {Path(f"/proc/{pid}").stat().st_uid for pid in children_of(supervisor.pid)}
    assert owners == {somebody.uid}
    assert_servers_answer(home)


def test_a_start_waits_for_the_recovery_of_a_database_that_was_cut_off(home):
    supervisor = home.start()
    with psycopg.connect(home.settings.database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE work AS SELECT n, repeat('x', 500) AS t FROM generate_series(1, 60000) AS n")
        os.kill(supervisor.pid, signal.SIGSTOP)  # it must not start another one
        os.kill(leftover_server(data_folder(home)), signal.SIGKILL)
        supervisor.kill()
        supervisor.wait()
    home.start()
    with psycopg.connect(home.settings.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM work").fetchone() == (60000,)

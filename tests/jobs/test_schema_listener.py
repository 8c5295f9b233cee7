"""The manager's listener: a changed schema reaches a data API that learns of it by a signal alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import psycopg
import pytest

from catalog import names
from catalog.ids import new_id
from infra.instances.embedded import EmbeddedInstances
from infra.instances.folders import InstanceFolders
from infra.postgres.project_staging import ProjectStaging
from jobs.loops.schema_listener import SESSION, SchemaListener
from tests.fixtures.projects import drop, new_tenant
from tests.fixtures.servers import wait_until

SIGNALS = {"schema": signal.SIGUSR1, "config": signal.SIGUSR2}
# A data API as far as this goes: a process that writes down which signal it got.
PROGRAM = """
import signal, sys
def heard(number, _frame):
    with open(sys.argv[1], "a") as file:
        file.write(signal.Signals(number).name + "\\n")
for number in (signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, heard)
print("ready", flush=True)
while True:
    signal.pause()
"""


class Signalled(EmbeddedInstances):
    """Instances that are told of a changed schema by a signal to a real process."""

    def __init__(self, folder, base_url, pids) -> None:
        super().__init__(InstanceFolders(folder, base_url))
        self.pids = pids

    def reload(self, instance_id, part) -> None:
        os.kill(self.pids[instance_id], SIGNALS[part])

    def needing_reload_signal(self):
        return frozenset(self.pids)


@pytest.fixture
def provisioned(infra):
    """A project that is served."""
    made = served(infra)
    yield made
    drop(infra, made)


@pytest.fixture
def heard(tmp_path):
    """The process of a data API; gives its id and what it heard."""
    file = tmp_path / "heard"
    file.touch()
    with subprocess.Popen([sys.executable, "-c", PROGRAM, file], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield process.pid, lambda: file.read_text().split()
        process.kill()


@pytest.fixture
def listener(infra, settings, provisioned, heard):
    """The listener of one such project."""
    instances = Signalled(settings.instances_folder, settings.base_url, {provisioned: heard[0]})
    made = SchemaListener(infra.database, infra.databases.cluster, instances, most=2)
    made.instances = instances
    yield made
    made.close()


@pytest.fixture
def another(infra):
    """A second served project."""
    made = served(infra)
    yield made
    drop(infra, made)


def served(infra) -> str:
    """Make a project's database and its row, as far as a listener sees."""
    project = new_tenant(infra).id
    with infra.database.transaction() as tx:
        owner = new_id("own")
        email = f"{owner}@example.org"
        tx.execute("INSERT INTO owners (id, email, password_hash) VALUES (%s, %s, '$argon2id$none')", (owner, email))
        row = (project, owner, project)
        tx.execute("INSERT INTO projects (id, owner_id, name, status) VALUES (%s, %s, %s, 'active')", row)
    return project


def turned(listener, until, seconds=10.0) -> None:
    """Run the listener until something is so."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "the listener did not come to it"
        listener.run_once(0.02)


def inside(server_url, project):
    return psycopg.connect(server_url, dbname=project, autocommit=True)


def sessions(infra, project) -> int:
    with infra.databases.cluster.session("launchdb-test") as admin:
        row = admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = %s", (SESSION, project)
        ).fetchone()
    return row[0]


def test_a_changed_schema_is_a_signal_and_so_is_a_changed_configuration(listener, heard, server_url, provisioned):
    turned(listener, lambda: heard[1]() == ["SIGUSR1"])  # what may have changed before anybody listened
    with inside(server_url, provisioned) as admin:
        admin.execute("CREATE TABLE fruit (id int)")
        turned(listener, lambda: heard[1]() == ["SIGUSR1"] * 2)
        admin.execute("NOTIFY pgrst, 'reload config'")
        turned(listener, lambda: heard[1]() == ["SIGUSR1"] * 2 + ["SIGUSR2"])
        admin.execute("NOTIFY pgrst, 'anything else'")
        admin.execute("SELECT pg_notify('pgrst', 'reload schema') FROM generate_series(1, 100)")
        turned(listener, lambda: len(heard[1]()) == 4)
        for _ in range(20):
            admin.execute("NOTIFY pgrst, 'reload schema'")
            listener.run_once(0.01)
    turned(listener, lambda: not any(ear.pending for ear in listener._ears.values()))
    assert len(heard[1]()) <= 6, "a tenant that shouts keeps their data API busy"


def test_what_changed_while_nobody_listened_is_told_once(listener, heard, server_url, provisioned, infra):
    turned(listener, lambda: heard[1]() == ["SIGUSR1"])
    with inside(server_url, provisioned) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (SESSION,))
        wait_until(lambda: sessions(infra, provisioned) == 0)
        admin.execute("CREATE TABLE missed (id int)")
    turned(listener, lambda: heard[1]() == ["SIGUSR1"] * 2)
    listener._lose(next(iter(listener._ears.values())))
    turned(listener, lambda: listener.sessions == 1)
    listener.run_once(0)
    assert heard[1]() == ["SIGUSR1"] * 2, "nothing had changed"


@pytest.mark.timing
def test_a_database_is_dropped_though_it_is_listened_to(listener, infra, provisioned):
    turned(listener, lambda: listener.sessions == 1)
    started = time.monotonic()
    infra.databases.drop_database(provisioned, names.roles(provisioned), "test")
    assert time.monotonic() - started < 5
    turned(listener, lambda: listener.sessions == 0)
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'deleting' WHERE id = %s", (provisioned,))
    turned(listener, lambda: not listener._ears)


@pytest.mark.timing
def test_a_restored_database_takes_its_place_though_it_is_listened_to_and_is_read_anew(
    listener, heard, infra, provisioned
):
    turned(listener, lambda: heard[1]() == ["SIGUSR1"])
    staging = ProjectStaging(infra.databases, names.roles(provisioned), "test")
    restored, before = names.staging(provisioned, "restored"), names.staging(provisioned, "before")
    staging.create_empty(restored, infra.databases.templates.version)
    done = threading.Event()

    def swap() -> None:
        staging.swap(provisioned, restored, before)
        done.set()

    started = time.monotonic()
    thread = threading.Thread(target=swap)
    thread.start()
    # It goes on looking for its database all the while, and does not get in the way.
    turned(listener, done.is_set)
    thread.join()
    assert time.monotonic() - started < 8
    turned(listener, lambda: heard[1]() == ["SIGUSR1"] * 2)


def test_a_paused_project_is_let_go_of_at_once_and_a_vanished_instance_after_a_while(
    listener, infra, provisioned, monkeypatch
):
    turned(listener, lambda: listener.sessions == 1)
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'paused' WHERE id = %s", (provisioned,))
    turned(listener, lambda: listener.sessions == 0)
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'active' WHERE id = %s", (provisioned,))
    turned(listener, lambda: listener.sessions == 1)
    listener.instances.pids = {}
    listener._looked = float("-inf")
    listener.run_once(0)
    assert listener.sessions == 1
    monkeypatch.setattr("jobs.loops.schema_listener.LINGER_SECONDS", 0.0)
    turned(listener, lambda: listener.sessions == 0)


def test_more_projects_than_sessions_are_looked_at_in_turn(listener, infra, provisioned, heard, another, server_url):
    listener._most = 1
    listener.instances.pids[another] = heard[0]
    turned(listener, lambda: len(heard[1]()) == 2, seconds=15)
    assert listener.sessions == 1
    for project in (provisioned, another):
        with inside(server_url, project) as admin:
            admin.execute("CREATE TABLE late (id int)")
    turned(listener, lambda: len(heard[1]()) >= 4, seconds=15)
    assert sessions(infra, provisioned) + sessions(infra, another) <= 1

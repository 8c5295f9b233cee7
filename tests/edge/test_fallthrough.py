"""When a project's socket does not answer: the platform is asked, the request is held, and nothing of it is lost."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from catalog import names
from catalog import secrets as kept
from infra.secrets import tokens
from jobs.kinds import ProvisionProject
from jobs.requests import lifecycle
from tests.edge.conftest import Runtime
from tests.fixtures.projects import add_project, drop, stored_tenant
from tests.fixtures.servers import wait_until
from tests.jobs.conftest import Engine

SIZE = 5_000_000


@pytest.fixture(scope="module")
def worker(edge_world):
    """An engine that works all the time."""
    engine, stop = Engine(edge_world), threading.Event()

    def work():
        while not stop.is_set():
            engine.runner.run_one()
            time.sleep(0.01)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield engine
    stop.set()
    thread.join(30)
    engine.close()


@pytest.fixture(scope="module")
def runtime(edge):
    made = Runtime(edge)
    yield made
    made.close()


class Shop:
    """A project with a table, served by a process of its own."""

    def __init__(self, edge, infra, worker, runtime):
        self.edge, self.infra, self.worker, self.runtime = edge, infra, worker, runtime
        self.id = add_project(infra)
        self.done(worker.enqueue(ProvisionProject(self.id)))
        tenant = stored_tenant(infra, self.id)
        with tenant.connect(tenant.roles.owner) as owner:
            owner.execute("CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY, body text)")
            owner.execute("GRANT ALL ON notes TO service_role")
        with infra.database.autocommit() as tx:
            self.key = kept.read_all(tx, infra.vault, self.id)[names.SERVICE_KEY]
        wait_until(lambda: edge.socket(self.id).exists())
        self.rest = f"/project/{self.id}/rest/v1"
        self.client = edge.client(headers={"apikey": self.key})

    def done(self, job):
        wait_until(lambda: self.worker.job(job.id).status in ("succeeded", "failed"))
        assert self.worker.job(job.id).status == "succeeded", self.worker.job(job.id).error

    def row(self, status=None):
        with self.infra.database.autocommit() as tx:
            if status:
                tx.execute("UPDATE projects SET status = %s WHERE id = %s", (status, self.id))
            return tx.row("SELECT * FROM projects WHERE id = %s", (self.id,))

    def sleep(self):
        for _ in range(5):
            self.be_idle()
            with self.infra.database.transaction() as tx:
                job = lifecycle.sleep(tx, self.id)
            self.done(job)
            # Whoever asked just before, or a job that was just done, has put it off.
            if self.row()["status"] == "sleeping":
                break
        wait_until(lambda: not self.edge.folder(self.id).exists())
        assert self.row()["status"] == "sleeping"

    def be_idle(self):
        with self.infra.database.autocommit() as tx:
            tx.execute(
                """INSERT INTO project_settings (project_id, settings) VALUES (%s, '{"idleMinutes": 1}')
                   ON CONFLICT DO NOTHING""",
                (self.id,),
            )
            tx.execute("UPDATE projects SET updated_at = now() - interval '1 hour' WHERE id = %s", (self.id,))
            tx.execute("UPDATE jobs SET finished_at = now() - interval '1 hour' WHERE project_id = %s", (self.id,))
        for folder in (self.edge.settings.instances_folder / self.id, self.edge.folder(self.id)):
            os.utime(folder / "last-request", (0, 0))

    def wakes(self):
        return self.all_wakes() - self.before

    def all_wakes(self):
        with self.infra.database.autocommit() as tx:
            return tx.value("SELECT count(*) FROM jobs WHERE kind = 'project.wake' AND project_id = %s", (self.id,))


@pytest.fixture(scope="module")
def served(edge, edge_world, worker, runtime):
    """A shop for all tests of this file; provisioning one takes longer than most of them."""
    made = Shop(edge, edge_world, worker, runtime)
    yield made
    with edge_world.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'deleted' WHERE id = %s", (made.id,))
    shutil.rmtree(edge.settings.instances_folder / made.id, ignore_errors=True)
    wait_until(lambda: made.id not in runtime.processes)
    drop(edge_world, made.id)


@pytest.fixture
def shop(served):
    """The shop, awake and empty, counting what this test wakes."""
    assert served.client.delete(f"{served.rest}/notes?id=gt.0").status_code == 204
    served.before = served.all_wakes()
    return served


def test_rows_are_written_and_read_through_both_addresses(shop):
    answer = shop.client.post(f"{shop.rest}/notes", json={"body": "hello"}, headers={"Prefer": "return=representation"})
    assert (answer.status_code, answer.json()[0]["body"]) == (201, "hello")
    read = shop.client.get(f"{shop.rest}/notes?select=body&apikey={shop.key}")
    assert read.json() == [{"body": "hello"}]
    plain = shop.client.get(f"/db/{shop.id}/notes?select=body", headers={"Authorization": f"Bearer {shop.key}"})
    assert plain.json() == [{"body": "hello"}]
    assert shop.client.get(f"/project/{shop.id}/").json()["message"] == "root path"
    assert shop.client.get(f"/project/{shop.id}").json()["message"] == "root path"


def test_a_sleeping_project_is_woken_by_a_large_post_that_arrives_whole(shop):
    shop.sleep()
    answer = shop.client.post(f"{shop.rest}/notes", json={"body": "x" * SIZE})
    assert answer.status_code == 201, answer.text
    assert (shop.wakes(), shop.row()["status"]) == (1, "active")
    tenant = stored_tenant(shop.infra, shop.id)
    with tenant.connect(tenant.roles.owner) as owner:
        assert owner.execute("SELECT length(body) FROM notes").fetchall() == [(SIZE,)]


def test_many_first_requests_make_one_start_and_all_are_answered(shop):
    shop.sleep()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: shop.client.get(f"{shop.rest}/notes"), range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert shop.wakes() == 1


def test_what_is_no_client_is_answered_and_wakes_nobody(shop):
    shop.sleep()
    foreign = tokens.sign_token(
        {"role": "service_role", "exp": int(time.time()) + 60}, "another secret, of another project"
    )
    origin = {"Origin": "https://a.example.org"}
    preflight = {**origin, "Access-Control-Request-Method": "POST"}
    stranger = shop.edge.client()
    for method, path, headers, status in (
        ("HEAD", f"{shop.rest}/notes", {"apikey": shop.key}, 503),
        ("GET", f"{shop.rest}/", {"apikey": shop.key}, 503),
        ("GET", f"{shop.rest}/notes", {"apikey": foreign}, 401),
        ("OPTIONS", f"{shop.rest}/notes", preflight, 200),
        ("GET", f"/db/{shop.id}/notes", {"User-Agent": "UptimeRobot/2.0"}, 503),
        ("GET", f"/db/{shop.id}/", {}, 503),
        ("GET", f"/project/{shop.id}/", {}, 200),
    ):
        answer = stranger.request(method, path, headers={**origin, **headers})
        assert answer.status_code == status, (method, path, headers, answer.text)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert (shop.wakes(), shop.row()["status"]) == (0, "sleeping")


def test_a_killed_data_api_costs_readers_and_writers_time_and_no_write(shop):
    process = shop.runtime.processes[shop.id]
    shop.runtime.delay = 1.0
    try:
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_until(lambda: not shop_listens(shop))
        with ThreadPoolExecutor(2) as pool:
            read = pool.submit(shop.client.get, f"{shop.rest}/notes")
            write = pool.submit(shop.client.post, f"{shop.rest}/notes", json={"body": "x" * SIZE})
        assert (read.result().status_code, read.result().json()) == (200, [])
        assert write.result().status_code == 201, write.result().text
        assert [len(note["body"]) for note in shop.client.get(f"{shop.rest}/notes").json()] == [SIZE]
    finally:
        shop.runtime.delay = 0.0


def shop_listens(shop):
    from infra.sockets import is_listening

    return is_listening(shop.edge.socket(shop.id))


@pytest.mark.parametrize(
    ("status", "answered"), [("paused", 503), ("provisioning", 503), ("failed", 503), ("deleted", 404)]
)
def test_what_cannot_be_asked_says_in_which_state_it_is(edge, edge_world, status, answered):
    project = add_project(edge_world, status=status)
    answer = edge.client(headers={"apikey": "x", "Origin": "https://a.example.org"}).get(
        f"/project/{project}/rest/v1/t"
    )
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (answered, "*")
    assert ("Retry-After" in answer.headers) == (answered == 503)
    unknown = edge.client(headers={"apikey": "x"}).post("/project/proj_0000000000000000/rest/v1/t", json={})
    assert (unknown.status_code, unknown.json()["message"]) == (404, "There is no such project")

"""The project beside one that means harm: what its clients and its owner do all day, and how that went."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from scripts.bench.figures import percentile
from tests.isolation.attacks import PREPARE, Assault, HostileProject

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET_SECONDS = 20.0
# LAUNCHDB_ASSAULT_SECONDS: another length.
ASSAULT_SECONDS = float(os.environ.get("LAUNCHDB_ASSAULT_SECONDS", "600"))
HEALED_SECONDS = 60.0
A_SECOND = 20
# A client that gives up on what takes longer.
PATIENCE_SECONDS = 60.0
PASSWORD = "correct horse battery staple"
HELD = """SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND a.usename LIKE 'proj_%'"""
QUEUE = "SELECT pg_notification_queue_usage()"


@dataclass
class Neighbour:
    """Its clients come from another address than those who attack, as other people's do.

    open_client  makes a client of the platform
    took         seconds of each request of its data API
    failed       what did not go as it should, by what it was
    """

    open_client: Callable[..., httpx.Client]
    email: str
    token: str
    project: str
    key: str
    took: list[float] = field(default_factory=list)
    failed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    done: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    over: threading.Event = field(default_factory=threading.Event)

    def live(self, seconds: float) -> None:
        """Go about its business for so long."""
        self.over.clear()
        acts = [
            (self.read_or_write, 1 / A_SECOND),
            (self.sign_in, 3.0),
            (self.create, 20.0),
            (self.maintain, 20.0),
        ]
        threads = [threading.Thread(target=self._again, args=act, daemon=True) for act in acts]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self.over.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS + 10)

    def _again(self, act, pause) -> None:
        with self.open_client(timeout=PATIENCE_SECONDS) as client:
            while not self.over.is_set():
                began = time.monotonic()
                try:
                    act(client)
                except httpx.HTTPError as error:
                    self.failed[getattr(act, "__name__", "job")].append(repr(error))
                self.over.wait(max(0.0, pause - (time.monotonic() - began)))

    def read_or_write(self, client) -> None:
        headers = {"apikey": self.key, "Authorization": f"Bearer {self.key}"}
        path = f"/project/{self.project}/rest/v1/notes"
        began = time.monotonic()
        if self.done["request"] % 2:
            answer = client.post(path, json={"body": "x"}, headers=headers)
        else:
            answer = client.get(path, params={"limit": "10"}, headers=headers)
        self.took.append(time.monotonic() - began)
        self.note("request", answer)

    def sign_in(self, client) -> None:
        self.note("login", client.post("/api/auth/login", json={"email": self.email, "password": PASSWORD}))

    def create(self, client) -> None:
        name = f"next {self.done['create']} {len(self.failed['create'])}"
        made = client.post("/api/projects", json={"name": name}, headers=self.waiting)
        self.note("create", made, wanted=(201,))
        if made.status_code == 201:
            client.delete(f"/api/projects/{made.json()['project']['id']}?purge=true", headers=self.waiting)

    def maintain(self, client) -> None:
        for what in ("vacuum", "backups"):  # one after the other: one job of a project is in the way of the next
            asked = client.post(f"/api/projects/{self.project}/{what}", headers=self.waiting)
            self.note(what, asked, wanted=(200,))

    @property
    def waiting(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Prefer": "wait=50"}

    def note(self, what, answer, wanted=(200, 201)) -> None:
        self.done[what] += 1
        if answer.status_code not in wanted:
            self.failed[what].append(f"{answer.status_code} {answer.text[:300]}")

    def p95(self) -> float:
        taken, self.took = self.took, []
        return percentile(taken, 0.95)


def owner(client: httpx.Client) -> tuple[str, str]:
    """Return the address and the token of somebody new."""
    email = f"{secrets.token_hex(4)}@example.org"
    made = client.post("/api/auth/register", json={"email": email, "password": PASSWORD})
    assert made.is_success, made.text
    signed_in = client.post("/api/auth/login", json={"email": email, "password": PASSWORD})
    return email, signed_in.json()["accessToken"]


def project(client: httpx.Client, token: str) -> tuple[str, dict]:
    """Return the id of a new project, and how to connect to it."""
    headers = {"Authorization": f"Bearer {token}"}
    made = client.post("/api/projects", json={"name": "shop"}, headers={**headers, "Prefer": "wait=60"}).json()
    connection = client.get(f"/api/projects/{made['project']['id']}/connection", headers=headers).json()
    return made["project"]["id"], connection.get("connection", connection)


def run_sql(client: httpx.Client, token: str, project_id: str, text: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    ran = client.post(f"/api/projects/{project_id}/sql", json={"query": text}, headers=headers)
    assert ran.status_code == 200, ran.text


def make_hostile(client: httpx.Client, base: str, home: str = "") -> HostileProject:
    """Make a project that attacks. home: of an installation that is reached through its Caddy."""
    _email, token = owner(client)
    name, connection = project(client, token)
    run_sql(client, token, name, PREPARE)
    return HostileProject(name, base, token, connection["serviceRoleKey"], connection["databaseUrl"], home)


def make_neighbour(client: httpx.Client, open_client: Callable[..., httpx.Client]) -> Neighbour:
    """Make the project beside it, with a table."""
    email, token = owner(client)
    name, connection = project(client, token)
    run_sql(client, token, name, "CREATE TABLE notes (id serial PRIMARY KEY, body text); GRANT ALL ON ALL TABLES IN SCHEMA "
            "public TO service_role; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO service_role")  # fmt: skip
    return Neighbour(open_client, email, token, name, connection["serviceRoleKey"])


def assert_unharmed(
    hostile: HostileProject, neighbour: Neighbour, named: Callable[[], str], value: Callable[[str], float]
) -> None:
    """See that the neighbour notices nothing of an assault, that the doctor names who it was, and that all heals.

    named  what the doctor says
    value  asks the server as its administrator
    """
    neighbour.live(QUIET_SECONDS)
    assert not any(neighbour.failed.values()), neighbour.failed
    quiet = neighbour.p95()
    with Assault(hostile) as assault:
        neighbour.live(ASSAULT_SECONDS)
    busy = neighbour.p95()
    print(f"\nquiet p95 {quiet * 1000:.1f} ms, under attack {busy * 1000:.1f} ms; done: {dict(neighbour.done)}")
    print(f"failed: { {what: len(each) for what, each in neighbour.failed.items()} }; attacks: {assault.rounds}")
    for what, each in neighbour.failed.items():
        print(what, each[:3])
    assert not any(neighbour.failed.values()), "its neighbour's requests and jobs go through"
    assert busy <= 2 * quiet, "and take no longer"
    assert hostile.id in named(), "the doctor names who it was"
    heal(neighbour, quiet, value)


def heal(neighbour: Neighbour, quiet: float, value: Callable[[str], float]) -> None:
    """See that within a minute nothing of it is left that others would notice."""
    deadline = time.monotonic() + HEALED_SECONDS
    while True:
        # Those of projects: the watchdog's own sessions hold some in reserve.
        held, queue = value(HELD), value(QUEUE)
        neighbour.live(5.0)
        again = neighbour.p95()
        if held < 100 and queue < 0.1 and again <= 2 * quiet and not any(neighbour.failed.values()):
            return
        assert time.monotonic() < deadline, (held, queue, again, neighbour.failed)

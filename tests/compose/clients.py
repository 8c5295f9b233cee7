"""Clients of projects who come in through Caddy at a steady pace, and to whom nothing may happen."""

from __future__ import annotations

import http.client
import secrets
import socket
import ssl
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import httpx

from scripts.stack import edge
from tests.fixtures.installation import DOMAIN

if TYPE_CHECKING:
    from tests.fixtures.installation import Installation

ANSWER_SECONDS = 30


class Connection(http.client.HTTPConnection):
    """One to Caddy over TLS, kept open, whose certificate is checked."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=ANSWER_SECONDS)
        self._context = context

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), self.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._context.wrap_socket(plain, server_hostname=DOMAIN)


@dataclass
class Clients:
    """Each asks on a connection of its own, in turn for each address, until told to stop; nothing is asked twice.

    addresses   paths, and the key for each
    per_second  how many requests all of them send
    host        the machine's address that they come to
    """

    installation: Installation
    addresses: list[tuple[str, str]]
    per_second: float = 20
    threads: int = 2
    host: str = "127.0.0.1"
    answered: int = 0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._over, self._lock = threading.Event(), threading.Lock()
        self._began, self._took = time.monotonic(), 0.0
        settings = self.installation.settings
        self._port = settings.https_port
        self._context = ssl.create_default_context(cadata=edge.authority(settings))
        self._running = [threading.Thread(target=self._client, args=(at,)) for at in range(self.threads)]
        for thread in self._running:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._running:
            thread.join(ANSWER_SECONDS + 10)
        self._took = time.monotonic() - self._began

    @property
    def rate(self) -> float:
        """How many a second were answered."""
        return self.answered / self._took

    def __str__(self) -> str:
        return f"{self.answered} requests, {self.rate:.0f}/s, the slowest {self.slowest * 1000:.0f} ms, {len(self.failures)} failed"

    def _client(self, turn: int) -> None:
        connection = Connection(self.host, self._port, self._context)
        pause, due = self.threads / self.per_second, time.monotonic()
        while not self._over.is_set():
            path, key = self.addresses[turn % len(self.addresses)]
            began, turn = time.monotonic(), turn + 1
            said = self._ask(connection, path, key)
            with self._lock:
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.answered += not said
                if said:
                    self.failures.append(f"{path} after {began - self._began:.1f} s: {said}")
            # Who was late catches up by one request at most.
            due = max(due + pause, time.monotonic() - pause)
            self._over.wait(max(0.0, due - time.monotonic()))
        connection.close()

    def _ask(self, connection: Connection, path: str, key: str) -> str:
        """Ask once; return why it failed."""
        try:
            connection.request("GET", path, headers={"Host": f"{DOMAIN}:{self._port}", "apikey": key})
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return repr(error)
        return "" if answer.status == 200 else f"{answer.status} {said[:200]!r}"


@dataclass
class Writers:
    """Clients who write rows of one project and have projects made, all the time; what was accepted has to come about.

    project  its id; it has a table `notes` whose key is `id`
    most     projects at most
    """

    installation: Installation
    project: str
    key: str
    most: int = 4
    rows: set[int] = field(default_factory=set)
    jobs: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._over, self._first = threading.Event(), secrets.randbelow(10**9)
        self._running = [threading.Thread(target=work) for work in (self._write, self._create)]
        for thread in self._running:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._running:
            thread.join(ANSWER_SECONDS + 10)

    def lost(self, http: httpx.Client) -> list[str]:
        """Wait for all jobs that were accepted; return what of jobs and rows there is not."""
        found: list[str] = []
        for job in self.jobs.values():
            deadline = time.monotonic() + 120
            while (shown := http.get(f"/api/jobs/{job}", params={"wait": 5}).json()).get("status") != "succeeded":
                if shown.get("status") not in ("queued", "running", "retrying") or time.monotonic() > deadline:
                    found.append(f"{job}: {shown}")
                    break
        path = f"/project/{self.project}/rest/v1/notes?select=id&id=gt.{self._first}&limit=100000"
        answer = http.get(path, headers={"apikey": self.key, "Authorization": f"Bearer {self.key}"})
        assert answer.status_code == 200, answer.text
        there = {row["id"] for row in answer.json()}
        return found + [f"row {number}" for number in sorted(self.rows - there)]

    def _write(self) -> None:
        number, path = self._first, f"/project/{self.project}/rest/v1/notes"
        with self.installation.http(timeout=5) as http:
            while not self._over.wait(0.05):
                number += 1
                with suppress(httpx.TransportError):
                    answer = http.post(path, json={"id": number}, headers={"apikey": self.key})
                    if answer.status_code == 201:
                        self.rows.add(number)
                    else:
                        self.refused.append(answer.text)

    def _create(self) -> None:
        with closing(self.installation.signed_in(timeout=5)) as http:
            while len(self.jobs) < self.most and not self._over.wait(1.0):
                with suppress(httpx.TransportError, ValueError):
                    answer = http.post("/api/projects", json={"name": f"accepted {secrets.token_hex(4)}"})
                    if answer.status_code != 202:
                        self.refused.append(answer.text)
                    else:
                        self.jobs[answer.json()["project"]["id"]] = answer.json()["job"]["id"]

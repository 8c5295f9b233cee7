"""An installation as clients of its projects meet it, wherever it runs; and a project of it."""

from __future__ import annotations

import ssl
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from tests.fixtures.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Letter:
    """A mail that came."""

    to: str
    subject: str
    text: str


@dataclass
class Place:
    """A running installation, somebody who has projects there, and how clients come in.

    url           where clients are told that it is
    owner         is signed in to the platform API
    letters       returns the mails that came, the newest first
    kill_storage  kills whoever serves files outright; it comes back
    host          the address at which the installation finds servers of a test's
    mail          settings by which a project's mails come to `letters`
    authority     file with the authority that the certificate is of; empty: there is no TLS
    key_pin       what a browser knows the certificate by
    run_by        a program that has others find the installation by its name
    """

    url: str
    owner: httpx.Client
    letters: Callable[[], list[Letter]]
    kill_storage: Callable[[], None]
    host: str = "127.0.0.1"
    mail: dict = field(default_factory=dict)
    authority: str = ""
    key_pin: str = ""
    run_by: tuple[str, ...] = ()

    def http(self, **more) -> httpx.Client:
        """Return a client that checks the certificate. The machine may be busy, so it has time."""
        trust = ssl.create_default_context(cafile=self.authority) if self.authority else True
        return httpx.Client(**{"timeout": 90, "verify": trust, **more})

    def begin(self, *command, **named) -> subprocess.Popen[str]:
        """Begin a program that is a client; Node's trust the installation's authority."""
        given = {**named.pop("env"), **({"NODE_EXTRA_CA_CERTS": self.authority} if self.authority else {})}
        words = [str(word) for word in (*self.run_by, *command)]
        return subprocess.Popen(
            words, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", **named
        )

    def run(self, *command, seconds=240, **named) -> str:
        """Run such a program to its good end; return what it said."""
        with self.begin(*command, **named) as process:
            try:
                out, err = process.communicate(timeout=seconds)
            finally:
                process.kill()
        assert process.returncode == 0, f"{err}\n{out}"
        return out

    @property
    def browser_options(self) -> list[str]:
        """What a browser is told on its command line, so that it knows the certificate."""
        return [f"--ignore-certificate-errors-spki-list={self.key_pin}"] if self.key_pin else []

    @contextmanager
    def project(self, name: str, **settings):
        """Make a project that is there for a while."""
        answer = self.owner.post("/api/projects", json={"name": name}, headers={"Prefer": "wait=60"}, timeout=90)
        assert answer.status_code == 201, answer.text
        made = Project(self, answer.json()["project"]["id"])
        try:
            if settings:
                made.change("settings", settings, method="PATCH")
            yield made
        finally:
            made.close()
            gone = {"Prefer": "wait=60"}
            self.owner.delete(f"/api/projects/{made.id}", params={"purge": "true"}, headers=gone, timeout=90)


class Project:
    """A project of a place, with its keys."""

    def __init__(self, place: Place, project_id: str) -> None:
        self.place, self.id = place, project_id
        self.url = f"{place.url}/project/{project_id}"
        known = place.owner.get(f"/api/projects/{project_id}/connection").json()
        self.anon, self.service = known["anonKey"], known["serviceRoleKey"]
        self.http, self._opened = place.http(), []

    def client(self, **more) -> httpx.Client:
        """Return an HTTP client that ends with the project."""
        self._opened.append(self.place.http(**more))
        return self._opened[-1]

    def close(self) -> None:
        for each in (self.http, *self._opened):
            each.close()

    def change(self, what: str, body: dict, *, method: str = "POST") -> dict:
        """Ask for a change of the project, and wait until its job has brought it; return the answer."""
        path = f"/api/projects/{self.id}/{what}"
        answer = self.place.owner.request(method, path, json=body, headers={"Prefer": "wait=60"}, timeout=90)
        assert answer.status_code in (200, 201), answer.text
        found = answer.json()
        assert found.get("job", {}).get("status", "succeeded") == "succeeded", answer.text
        return found

    def sql(self, text: str) -> None:
        answer = self.place.owner.post(f"/api/projects/{self.id}/sql", json={"query": text}, timeout=90)
        assert answer.status_code == 200, answer.text

    def table(self, name: str, text: str) -> None:
        """Make a table, and wait until the data API knows it."""
        self.sql(text)
        keys = {"apikey": self.service, "Authorization": f"Bearer {self.service}"}
        path = f"{self.url}/rest/v1/{name}?limit=0"
        wait_until(lambda: self.http.get(path, headers=keys).status_code == 200, seconds=30)

    def user(self, email: str, password: str) -> str:
        """Sign somebody up whose address counts as confirmed; return their token."""
        known = {"email": email, "password": password}
        answer = self.http.post(f"{self.url}/auth/v1/signup", json=known, headers={"apikey": self.anon})
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]


def signed_in(client: httpx.Client, email: str, password: str) -> httpx.Client:
    """Have a client of the platform API be somebody who has registered."""
    known = {"email": email, "password": password}
    assert client.post("/api/auth/register", json=known).status_code == 201
    token = client.post("/api/auth/login", json=known).json()["accessToken"]
    client.headers["Authorization"] = f"Bearer {token}"
    return client

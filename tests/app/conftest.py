"""The platform API in the test's own process, against real servers; and people who use it."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

import httpx
import pytest

from app.factory import create_app
from infra.secrets import secretfiles, tokens
from tests.fixtures.projects import drop
from tests.jobs.conftest import Engine

# Longer than any answer takes that ends, a long poll's too.
LONGEST_SECONDS = 60.0
PASSWORD = "a horse that nobody staples"


@dataclass
class Person:
    """Somebody with a client of their own."""

    client: httpx.Client
    id: str = ""
    email: str = ""
    sign_in: dict = field(default_factory=dict)

    def __getattr__(self, name):
        return getattr(self.client, name)

    def project(self, name="demo", **more):
        answer = self.client.post("/api/projects", json={"name": name}, **more)
        assert answer.status_code in (200, 201, 202), answer.text
        return answer.json()["project"]


class Bounded(httpx.WSGITransport):
    """Asks an application in this process, and gives up on an answer that does not end: a stream holds no test up."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer, whose body is read until the client's time is over. Raises ReadTimeout."""
        seconds = request.extensions.get("timeout", {}).get("read") or LONGEST_SECONDS
        answer = super().handle_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=_Until(answer.stream, seconds))


class _Until(httpx.SyncByteStream):
    def __init__(self, stream, seconds: float) -> None:
        self._stream, self._seconds = stream, seconds

    def __iter__(self):
        deadline = time.monotonic() + self._seconds
        for part in self._stream:
            yield part
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer does not end")

    def close(self) -> None:
        self._stream.close()


class Town:
    """Makes people; those who need no sign-in get a token without the cost of a password hash."""

    def __init__(self, app, infra, settings) -> None:
        self.app, self.infra, self.settings = app, infra, settings
        self._clients = []

    def stranger(self, **headers) -> Person:
        transport = Bounded(app=self.app, raise_app_exceptions=False)
        client = httpx.Client(transport=transport, base_url="http://api.test", headers=headers, timeout=LONGEST_SECONDS)
        self._clients.append(client)
        return Person(client)

    def owner(self, *, operator=False) -> Person:
        from catalog.ids import new_id

        owner_id = new_id("own")
        email = f"{owner_id}@example.org"
        with self.infra.database.autocommit() as tx:
            tx.execute(
                "INSERT INTO owners (id, email, password_hash, is_operator) VALUES (%s, %s, '$argon2id$none', %s)",
                (owner_id, email, operator),
            )
        person = self.stranger(Authorization=f"Bearer {self.token(owner_id)}")
        person.id, person.email = owner_id, email
        return person

    def token(self, owner_id, **more) -> str:
        key = secretfiles.current(self.settings.secrets_folder, "PLATFORM_JWT_SECRET")
        return tokens.access_token(owner_id, key, now=int(time.time()), seconds=600, **more)

    def registered(self, email=None) -> Person:
        person = self.stranger()
        person.email = email or f"{secrets.token_hex(6)}@example.org"
        answer = person.post("/api/auth/register", json={"email": person.email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        person.id = answer.json()["id"]
        return person

    def signed_in(self) -> Person:
        person = self.registered()
        person.sign_in = person.post("/api/auth/login", json={"email": person.email, "password": PASSWORD}).json()
        person.client.headers["Authorization"] = f"Bearer {person.sign_in['accessToken']}"
        return person

    def rows(self, query, params=()):
        with self.infra.database.autocommit() as tx:
            return tx.rows(query, params)

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
def services():
    """What the application serves."""
    return ("platform",)


@pytest.fixture
def app(settings, infra_as, services):
    """The platform API by its own login, and what else a test asks for in its process."""
    secretfiles.ensure(settings.secrets_folder, settings.home / ".env")
    opened = infra_as("api")
    made = create_app(opened.settings, opened, services)
    yield made
    made.extensions["launchdb"].close()


@pytest.fixture
def town(app, infra, settings):
    """People who use the API."""
    made = Town(app, infra, settings)
    yield made
    made.close()


@pytest.fixture
def owner(town):
    """Somebody who may have projects."""
    return town.owner()


@pytest.fixture
def engine(infra):
    """Runs jobs on demand; what projects were made go with the test."""
    made = Engine(infra)
    yield made
    made.close()
    with infra.database.autocommit() as tx:
        projects = [row["id"] for row in tx.rows("SELECT id FROM projects")]
    for project in projects:
        drop(infra, project)

"""A project's Auth in the test's own process, on a database made of the template, as clients meet it."""

from __future__ import annotations

import json
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from flask import Flask

from app.auth.routes import ROUTES
from app.auth.serve.blueprint import AuthViews, make_blueprint
from app.auth.serve.project import AuthProjects
from app.auth.serve.services import AuthServices
from catalog import settings as project_settings
from catalog.settings_model import ProjectSettings
from infra.instances.auth_files import AuthFiles, AuthSpec
from infra.secrets import tokens
from infra.secrets.passwords import Passwords
from infra.signals.limiter import RateLimiter
from tests.fixtures.projects import drop, new_tenant

BASE = "http://api.test"
VERSION = {"X-Supabase-Api-Version": "2024-01-01"}
PASSWORD = "correct horse"


class KeptLetters:
    """Keeps what would be sent, the newest last. voided: how many went nowhere, since nobody has their address."""

    def __init__(self) -> None:
        self.kept, self.voided, self.failure = [], 0, None

    def send(self, project, letter) -> None:
        if self.failure is not None:
            raise self.failure
        if letter.void:
            self.voided += 1
        else:
            self.kept.append(letter)

    def mail(self, to):
        """The newest mail to somebody, in words."""
        return next(mail for mail in reversed(self.kept) if mail.to == to)

    def last(self, to):
        """What the newest mail to somebody was made of."""
        return self.mail(to).about

    def count(self, to) -> int:
        return sum(mail.to == to for mail in self.kept)


class AuthWorld:
    """A project's Auth: requests to it, what it would write, and its database."""

    def __init__(self, tenant, folder, valkey_url) -> None:
        self.tenant, self.id, self.secret = tenant, tenant.id, secrets.token_urlsafe(32)
        self.files, self.letters = AuthFiles(folder), KeptLetters()
        self.limiter, self.passwords = RateLimiter(valkey_url), Passwords(2)
        roles = tenant.roles
        self.spec = AuthSpec(
            project_id=self.id,
            url=f"{BASE}/project/{self.id}",
            db_uri=tenant.uri(roles.auth),
            jwt_secret=self.secret,
            signing_key=self.secret,
            roles={"anon": roles.anon, "authenticated": roles.authenticated, "service_role": roles.service},
            mail_key=secrets.token_urlsafe(32),
        )
        self.now = time.time  # a test that needs another time puts it here
        self.configure()
        self.projects = AuthProjects(folder, connections_max=20)
        self.services = AuthServices(
            tenant.infra.database, self.passwords, self.limiter, self.letters, clock=lambda: self.now()
        )
        app = Flask("auth-test")
        app.register_blueprint(make_blueprint(AuthViews(ROUTES, self.projects, self.services, self._absent)))
        self.client = app.test_client()

    def _absent(self, project_id, *_asked, **_more):
        from app.auth.errors import AuthError

        raise AuthError(404, "not_found", f"There is no project {project_id}")

    def configure(self, *, spec=None, **changes):
        """Serve the project with these settings (names as ProjectSettings has them) from now on."""
        chosen = ProjectSettings().model_copy(
            update={"access_token_seconds": 3600, "sign_in_rate_per_minute": 100_000, **changes}
        )
        self.spec = replace(self.spec, settings=project_settings.as_json(chosen), **(spec or {}))
        self.files.ensure(self.spec)

    def key(self, role="anon", **more) -> str:
        now = int(self.now())
        return tokens.sign_token(
            {"iss": "launchdb", "role": role, "iat": now, "exp": now + 864_000, **more}, self.secret
        )

    def call(
        self, method, path, body=None, *, bearer=None, role="anon", headers=None, version=True, address="127.0.0.1"
    ):
        """Ask as a client does: with the key of a role, and the token of a user where one is named."""
        key = self.key(role)
        sent = {
            "apikey": key,
            "Authorization": f"Bearer {bearer or key}",
            **(VERSION if version else {}),
            **(headers or {}),
        }
        data = None if body is None else json.dumps(body)
        # A client each: tests ask from many threads at once.
        return self.client.application.test_client().open(
            f"/project/{self.id}/auth/v1{path}",
            method=method,
            headers=sent,
            data=data,
            content_type="application/json",
            environ_base={"REMOTE_ADDR": address},
        )

    def admin(self, method, path, body=None):
        return self.call(method, path, body, role="service_role")

    def rows(self, query, params=None):
        with self.tenant.connect(self.tenant.roles.auth) as connection:
            return connection.execute(query, params).fetchall()

    def close(self) -> None:
        self.projects.close()
        self.passwords.close()
        self.limiter.close()


@pytest.fixture(scope="module")
def world(cluster, valkey_url, tmp_path_factory):
    """A project's Auth; its settings may be changed by a test, and are put back after each."""
    tenant = new_tenant(cluster)
    made = AuthWorld(tenant, tmp_path_factory.mktemp("auth"), valkey_url)
    yield made
    made.close()
    drop(cluster, tenant.id)


@pytest.fixture
def auth(world):
    """The project's Auth, with the settings that each test begins with."""
    yield world
    world.now, world.letters.failure = time.time, None
    world.configure()


@pytest.fixture
def together():
    """Call a function with 0, 1, … so many at once; return what each of them answered."""

    def called(number, function):
        begun = threading.Barrier(number)

        def one(place):
            begun.wait(10)
            return function(place)

        with ThreadPoolExecutor(number) as threads:
            return list(threads.map(one, range(number)))

    return called


@pytest.fixture
def email():
    """An address nobody has."""
    return f"{secrets.token_hex(6)}@example.com"

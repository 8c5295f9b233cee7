"""Auth while its project's database is swapped for a backup: nobody is answered wrongly, and sessions go on or are over."""

from __future__ import annotations

import threading

import pytest
from flask import Flask

from app.auth.errors import AuthError
from app.auth.routes import ROUTES
from app.auth.serve.blueprint import AuthViews, make_blueprint
from app.auth.serve.project import AuthProjects
from app.auth.serve.services import AuthServices
from catalog import names
from infra.secrets.passwords import Passwords
from infra.signals.limiter import RateLimiter
from tests.jobs.kinds.test_backups import Shop

pytestmark = pytest.mark.gpg
PASSWORD = "a horse that nobody staples"


class Served:
    """The project's Auth, in one process with its connections, as apps ask it."""

    def __init__(self, shop, valkey_url) -> None:
        self.id, self.key = shop.id, shop.life.secrets()[names.ANON_KEY]
        self.passwords, self.limiter = Passwords(2), RateLimiter(valkey_url)
        self.projects = AuthProjects(shop.infra.settings.auth_folder, connections_max=8)
        services = AuthServices(shop.infra.database, self.passwords, self.limiter, letters=None)
        self.app = Flask("auth-test")
        self.app.register_blueprint(make_blueprint(AuthViews(ROUTES, self.projects, services, self._absent)))

    def _absent(self, *_asked, **_more):
        raise AuthError(404, "not_found", "There is no such project")

    def ask(self, method, path, body=None, token=None):
        headers = {
            "apikey": self.key,
            "Authorization": f"Bearer {token or self.key}",
            "X-Supabase-Api-Version": "2024-01-01",
        }
        url = f"/project/{self.id}/auth/v1{path}"
        return self.app.test_client().open(url, method=method, headers=headers, json=body)

    def join(self, email):
        """The session of somebody who signs up."""
        return self.ask("POST", "/signup", {"email": email, "password": PASSWORD}).json

    def sign_in(self, email):
        return self.ask("POST", "/token?grant_type=password", {"email": email, "password": PASSWORD}).json

    def user(self, session):
        answer = self.ask("GET", "/user", token=session["access_token"])
        return answer.status_code, answer.json.get("code") or answer.json["email"]

    def refresh(self, session):
        answer = self.ask("POST", "/token?grant_type=refresh_token", {"refresh_token": session["refresh_token"]})
        return answer.status_code, answer.json.get("code", "")

    def close(self) -> None:
        self.projects.close()
        self.passwords.close()
        self.limiter.close()


@pytest.fixture
def shop(life):
    made = Shop(life)
    yield made
    made.leave()


@pytest.fixture
def auth(shop, valkey_url):
    made = Served(shop, valkey_url)
    yield made
    made.close()


def test_sessions_of_the_backup_go_on_and_what_came_after_it_is_over(shop, auth):
    ann = auth.join("ann@example.org")
    backup = shop.back_up()
    bob, later = auth.join("bob@example.org"), auth.sign_in("ann@example.org")
    seen, done = set(), threading.Event()

    def look():
        while not done.is_set():
            seen.add(auth.user(ann))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        job = shop.restore(backup)
    finally:
        done.set()
        looking.join()
    assert (job.status, job.error) == ("succeeded", None)
    assert seen <= {(200, "ann@example.org"), (503, "unavailable")}, "whoever asks meanwhile is let in, or told to wait"
    assert auth.user(ann) == (200, "ann@example.org")
    assert auth.refresh(ann) == (200, "")
    assert auth.user(later) == (403, "session_not_found")
    assert auth.refresh(later) == (400, "refresh_token_not_found")
    assert auth.user(bob) == (403, "user_not_found")
    assert auth.refresh(bob) == (400, "refresh_token_not_found")
    assert auth.join("bob@example.org")["user"]["id"] != bob["user"]["id"]

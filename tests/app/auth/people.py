"""People of a project in tests: signed up, signed in, refreshed."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

PASSWORD = "correct horse"


@dataclass
class Person:
    """Somebody with a session. token: the access token."""

    auth: object
    email: str
    session: dict
    password: str = PASSWORD
    seen: list = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.session["user"]["id"]

    @property
    def token(self) -> str:
        return self.session["access_token"]

    @property
    def refresh_token(self) -> str:
        return self.session["refresh_token"]

    def get(self):
        return self.auth.call("GET", "/user", bearer=self.token)

    def put(self, body):
        return self.auth.call("PUT", "/user", body, bearer=self.token)

    def log_out(self, scope=""):
        return self.auth.call("POST", f"/logout?scope={scope}", bearer=self.token)

    def again(self):
        """The same person, signed in once more."""
        return Person(self.auth, self.email, sign_in(self.auth, self.email, self.password).json, self.password)


def sign_up(auth, email=None, password=PASSWORD, **more):
    """Ask for an account."""
    return auth.call("POST", "/signup", {"email": email or new_email(), "password": password, **more})


def sign_in(auth, email, password=PASSWORD):
    """Ask for a session by password."""
    return auth.call("POST", "/token?grant_type=password", {"email": email, "password": password})


def refresh(auth, token):
    """Ask for a session by refresh token."""
    return auth.call("POST", "/token?grant_type=refresh_token", {"refresh_token": token})


def joined(auth, **more) -> Person:
    """Somebody who has just signed up."""
    email = new_email()
    answer = sign_up(auth, email, **more)
    assert answer.status_code == 200, answer.text
    return Person(auth, email, answer.json, more.get("password", PASSWORD))


def anonymous(auth, **more) -> Person:
    """Somebody who gave no address."""
    auth.configure(anonymous_sign_in=True)
    answer = auth.call("POST", "/signup", {"data": {}, **more})
    assert answer.status_code == 200, answer.text
    return Person(auth, "", answer.json)


def new_email() -> str:
    """An address nobody has."""
    return f"{secrets.token_hex(6)}@example.com"


def refused(answer) -> tuple[int, str]:
    """Status and word of a refusal."""
    return answer.status_code, answer.json["code"]
